/** Request bodies that outgrow memory go on in a file, so that a retry or an escalation sends every byte of them again. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { echo, echoed } from "../support/behaviours.js";
import { chunk, request, requestWithBody } from "../support/client.js";
import type { OriginConnection, Script } from "../support/origin.js";
import { type Origins, type SceneOptions, type SettingsOverlay, scenario } from "../support/scene.js";

const MIB = 1 << 20;
const BODY = randomBytes(8 * MIB);
const DIGEST = createHash("sha256").update(BODY).digest("hex");
const FOLDER = mkdtempSync(join(tmpdir(), "millrace-spool-"));
after(() => rmSync(FOLDER, { recursive: true }));

/** Reads the head and so much of the body, then resets. */
async function resetWithin(connection: OriginConnection, bytes: number): Promise<void> {
  await connection.head(60_000);
  await connection.wire.takeUpTo(bytes, 60_000);
  await connection.reset();
}

/** The first connection to either target is reset within its body; all others echo. */
function firstResets(bytes: number): Readonly<Record<string, Script>> {
  let seen = 0;
  const script: Script = (connection) => (seen++ === 0 ? resetWithin(connection, bytes) : echo()(connection));
  return { one: script, two: script };
}

/** One origin `app` with all origins of the scene as targets; a key makes any request repeatable. */
function spooling(spool: object): (origins: Origins) => SettingsOverlay {
  return (origins) => ({
    spool: { folder: FOLDER, ...spool },
    limits: { requestBodyBytes: 64 * MIB },
    origins: { app: { targets: Object.values(origins).map((origin) => origin.url) } },
    routes: [{ forwardTo: "app", retry: { idempotencyKey: true } }],
  });
}

const KEY = 'Idempotency-Key: "8c1f"';

function requestsAt(origins: Origins): number {
  return Object.values(origins).reduce((sum, origin) => sum + origin.requests.length, 0);
}

function replays(promise: string, options: SceneOptions, send: () => readonly Uint8Array[]): void {
  scenario(promise, options, async (scene) => {
    const client = await scene.client();
    for (const piece of send()) await client.send(piece);
    const answer = await client.answer("PUT", 60_000);
    assert.equal(answer.status, 200);
    assert.equal(echoed(answer).digest, DIGEST);
    assert.equal(requestsAt(scene.origins), 1, "one target got it whole, once");
    assert.equal(await scene.counter("spooled"), 1);
    assert.equal(await scene.counter("spool_refused"), 0);
    assert.equal(await scene.counter("origin_next_targets"), 1);
    assert.deepEqual(readdirSync(FOLDER), []);
    await scene.sees("spool_bytes", 0);
  });
}

replays(
  "8 MiB by length whose first target resets within them reach the second target whole, once",
  { origins: firstResets(4 * MIB), settings: spooling({}) },
  () => [requestWithBody("PUT /up", BODY, KEY)],
);

replays(
  "8 MiB in chunks whose first target resets within them reach the second target whole, once",
  { origins: firstResets(4 * MIB), settings: spooling({}) },
  () => [
    Buffer.from(request("PUT /up", "Transfer-Encoding: chunked", KEY)),
    ...Array.from({ length: 8 }, (_, at) => chunk(BODY.subarray(at * MIB, (at + 1) * MIB))),
    Buffer.from("0\r\n\r\n"),
  ],
);

scenario(
  "the next target gets what was spooled and then the client's rest, and the file has no name meanwhile",
  { origins: firstResets(2 * MIB), settings: spooling({}) },
  async (scene) => {
    const client = await scene.client();
    const whole = requestWithBody("PUT /up", BODY, KEY);
    await client.send(whole.subarray(0, 3 * MIB));
    await scene.sees("origin_next_targets", 1);
    assert.ok((await scene.counter("spool_bytes")) > 2 * MIB);
    assert.deepEqual(readdirSync(FOLDER), []);
    await client.send(whole.subarray(3 * MIB));
    assert.equal(echoed(await client.answer("PUT", 60_000)).digest, DIGEST);
    await scene.sees("spool_bytes", 0);
  },
);

scenario(
  "an escalation sends a spooled body to the other origin",
  {
    origins: { app: (connection) => resetWithin(connection, 4 * MIB), spare: echo() },
    settings: {
      spool: { folder: FOLDER },
      limits: { requestBodyBytes: 64 * MIB },
      routes: [
        {
          forwardTo: "app",
          escalate: [{ on: ["write_error", "reset_before_headers", "eof_before_headers"], to: "spare" }],
        },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(requestWithBody("PUT /up", BODY));
    assert.equal(echoed(await client.answer("PUT", 60_000)).digest, DIGEST);
    assert.equal(await scene.counter("escalations"), 1);
  },
);

scenario(
  "a body that is too long for the spool is passed on and cannot be sent again: 502, and the log says why",
  { origins: firstResets(4 * MIB), settings: spooling({ requestBytes: MIB }), accessLog: true },
  async (scene) => {
    const client = await scene.client();
    await client.send(requestWithBody("PUT /up", BODY, KEY));
    assert.equal((await client.answerOrPart("PUT", 60_000)).status, 502);
    const [line] = await scene.accessLog(1);
    assert.equal(line?.["not_repeated"], "body_not_held");
    assert.equal(await scene.counter("spool_refused"), 1);
    assert.equal(requestsAt(scene.origins), 0);
    await scene.sees("spool_bytes", 0);
  },
);

scenario(
  "all bodies together stay within what the process may spool",
  { settings: spooling({ requestBytes: 10 * MIB, totalBytes: 10 * MIB }) },
  async (scene) => {
    const [first, second] = [await scene.client(), await scene.client()];
    const whole = requestWithBody("PUT /up", BODY, KEY);
    await first.send(whole.subarray(0, 7 * MIB));
    await scene.origin.sees("most of the first", (origin) => origin.receivedBytes > 6.9 * MIB);
    await second.send(whole);
    assert.equal(echoed(await second.answer("PUT", 60_000)).digest, DIGEST);
    assert.equal(await scene.counter("spool_refused"), 1);
    assert.ok((await scene.counter("spool_bytes")) <= 10 * MIB);
    await first.send(whole.subarray(7 * MIB));
    assert.equal(echoed(await first.answer("PUT", 60_000)).digest, DIGEST);
    await scene.sees("spool_bytes", 0);
  },
);

scenario(
  "a folder that cannot be written to costs the repeat, not the request",
  { settings: spooling({ folder: join(FOLDER, "not", "there") }) },
  async (scene) => {
    const client = await scene.client();
    await client.send(requestWithBody("PUT /up", BODY, KEY));
    assert.equal(echoed(await client.answer("PUT", 60_000)).digest, DIGEST);
    assert.equal(await scene.counter("spool_refused"), 1);
    assert.equal(await scene.counter("spooled"), 0);
  },
);

scenario(
  "what must not be sent twice, and what fits into memory, is not spooled",
  { settings: spooling({}) },
  async (scene) => {
    const client = await scene.client();
    assert.equal(echoed(await client.post("POST /up", BODY)).digest, DIGEST);
    await client.post("PUT /up", BODY.subarray(0, 60_000));
    assert.equal(await scene.counter("spooled"), 0);
    assert.equal(await scene.counter("spool_refused"), 0);
  },
);

scenario("a client that leaves within a spooled body leaves no file", { settings: spooling({}) }, async (scene) => {
  const client = await scene.client();
  await client.send(requestWithBody("PUT /up", BODY).subarray(0, 3 * MIB));
  await scene.origin.sees("most of it", (origin) => origin.receivedBytes > 2.9 * MIB);
  assert.equal(await scene.counter("spooled"), 1);
  await client.reset();
  await scene.sees("spool_bytes", 0);
  await scene.sees("exchanges_open", 0);
});
