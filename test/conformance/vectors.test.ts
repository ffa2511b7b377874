/**
 * The request vectors of `test/vectors/http1-requests.md` over a real socket: the proxy must give the same verdict as
 * the parser alone. A fault is answered with its status, the connection ends, and the origin receives not a byte.
 */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { RawClient } from "../support/client.js";
import { Scene } from "../support/scene.js";
import { pause } from "../support/wire.js";
import { benchScript } from "./judge.js";
import { readVectors, type Vector } from "./vectors.js";

const FILE = new URL("../../../test/vectors/http1-requests.md", import.meta.url);

/** Faults that are not answered 400. */
const STATUS: Readonly<Record<string, number>> = {
  unsupported_version: 505,
  request_line_too_long: 414,
  head_too_large: 431,
  too_many_fields: 431,
  trailer_too_large: 431,
};

async function judgeFault(vector: Vector, fault: string, scene: Scene): Promise<void> {
  const before = scene.origin.receivedBytes;
  const counter = `client_wire_fault_${fault}` as const;
  const counted = (await scene.proxy.stats()).all.counters as Readonly<Record<string, number>>;
  const client = await RawClient.connect(scene.port);
  try {
    await client.send(vector.bytes);
    const answer = await client.answer("GET", 4_000);
    assert.equal(answer.status, STATUS[fault] ?? 400);
    assert.equal(await client.seesClose(), "end");
  } finally {
    await client.close();
  }
  await pause(5);
  assert.equal(scene.origin.receivedBytes, before, "the origin received bytes of a refused request");
  const now = (await scene.proxy.stats()).all.counters as Readonly<Record<string, number>>;
  assert.equal((now[counter] ?? 0) - (counted[counter] ?? 0), 1, `the fault is counted as ${counter}`);
}

async function judgeGood(vector: Vector, scene: Scene): Promise<void> {
  const method = vector.bytes.toString("latin1").trimStart().split(" ")[0] ?? "GET";
  const client = await RawClient.connect(scene.port);
  try {
    await client.send(vector.bytes);
    const answer = await client.answer(method, 4_000);
    const own = vector.expects.includes("expectation-unknown") ? 417 : method === "CONNECT" ? 405 : 200;
    assert.equal(answer.status, own);
    if (vector.expects.includes("close")) await client.seesClose();
  } finally {
    await client.close();
  }
}

describe("request vectors over a socket", () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open({ origin: benchScript, settings: { timeouts: { clientLingerMs: 300 } } });
  });
  after(async () => {
    scene.origin.troubles.length = 0;
    await scene.end();
  });
  const vectors = readVectors(readFileSync(FILE, "utf8"));
  test("there are vectors to play", () => {
    assert.ok(vectors.length >= 60, `only ${vectors.length} vectors were read`);
  });
  for (const vector of vectors) {
    const fault = vector.expects[0]?.match(/^fault (\w+)$/)?.[1];
    if (fault !== undefined) test(`refused with ${fault}: ${vector.name}`, () => judgeFault(vector, fault, scene));
    else if (!vector.expects.includes("partial")) test(`served: ${vector.name}`, () => judgeGood(vector, scene));
  }
});
