/**
 * Signals at the command line: the first drains, the second leaves at once.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, it } from "node:test";
import { RawClient } from "../support/client.js";
import { type OriginConnection, RawOrigin } from "../support/origin.js";
import { Child } from "./child.js";

const CLI = "../../src/cli/main.js";
const SIGNALS = ["SIGTERM", "SIGINT"] as const;
/** What "at once" means, in ms. */
const AT_ONCE_MS = 1500;

let origin: RawOrigin;
/** Lets the answers go that the origin holds back. */
let release: () => void = () => {};

async function answerWhenReleased(connection: OriginConnection): Promise<void> {
  for (;;) {
    const request = await connection.request();
    if (request.target === "/held") {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    }
    await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  }
}

/** The proxy as an operator starts it; `code` is what it is expected to leave with. */
async function start(line: number, code: number): Promise<{ readonly child: Child; readonly port: number }> {
  const args = ["run", "--listen", "127.0.0.1:0", "--to", origin.url, "--workers", "2"];
  const options = [...args, "--log-level", "silent"];
  const child = new Child(line, CLI, {
    args: options,
    code,
    says: /^millrace: listening on .*\n$/,
    deadlineMs: 20_000,
  });
  const [, port] = await child.says(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
  return { child, port: Number(port) };
}

/** A client whose request is with the origin now. */
async function holdOne(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  const seen = origin.requests.length;
  await client.send("GET /held HTTP/1.1\r\nHost: a.example\r\n\r\n");
  await origin.sees("the held request", () => origin.requests.length > seen);
  return client;
}

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

async function becomesRefusing(port: number): Promise<void> {
  const due = performance.now() + AT_ONCE_MS;
  while (!(await refuses(port))) assert.ok(performance.now() < due, "it still accepts connections");
}

/** Defines the tests of one line of Node. */
export function testSignals(line: number): void {
  before(async () => {
    origin = await RawOrigin.start(answerWhenReleased);
  });
  after(() => origin.stop());

  for (const signal of SIGNALS) {
    it(`${signal} ends an idle proxy at once, kept connections included`, async () => {
      const { child, port } = await start(line, 0);
      const client = await RawClient.connect(port);
      assert.equal((await client.ask("GET /a")).status, 200);
      const sinceMs = performance.now();
      child.process.kill(signal);
      assert.equal(await client.seesClose(), "end");
      await child.ends();
      assert.ok(performance.now() - sinceMs < AT_ONCE_MS);
      await client.close();
    });

    it(`${signal} lets a request in flight finish, and says that the connection closes`, async () => {
      const { child, port } = await start(line, 0);
      const client = await holdOne(port);
      child.process.kill(signal);
      await becomesRefusing(port);
      assert.equal(child.process.exitCode, null, "it waits for the request");
      release();
      const answer = await client.answer();
      assert.equal(answer.status, 200);
      assert.match(answer.head, /\r\nConnection: close\r\n/i);
      assert.equal(await client.seesClose(), "end");
      await child.ends();
      await client.close();
    });

    it(`a second ${signal} leaves at once with 1`, async () => {
      const { child, port } = await start(line, 1);
      const client = await holdOne(port);
      child.process.kill(signal);
      await becomesRefusing(port);
      const sinceMs = performance.now();
      child.process.kill(signal);
      await child.ends();
      assert.ok(performance.now() - sinceMs < AT_ONCE_MS);
      release();
      await client.close();
    });
  }
}
