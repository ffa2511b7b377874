/** The access log: one line a request with what an operator asks for, and a slow sink that costs lines, never requests. */
import { strict as assert } from "node:assert";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { byPath, fixed, reply } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { run } from "../support/peers.js";
import { Scene, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario(
  "a line names method, host, path, status, bytes, route, target, reuse, attempts and times",
  {
    accessLog: true,
    origin: byPath({
      "/slow": async (_, connection) => {
        await pause(60);
        await connection.send(reply(200, "twelve bytes"));
      },
    }),
    settings: { routes: [{ name: "everything", forwardTo: "app" }] },
  },
  async (scene) => {
    const client = await scene.client();
    await client.post("POST /slow?q=1", "12345", "Host: shop.example:81");
    await client.ask("GET /slow");
    const [first, second] = await scene.accessLog(2);
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first["method"], "POST");
    assert.equal(first["host"], "shop.example:81");
    assert.equal(first["path"], "/slow?q=1");
    assert.equal(first["status"], 200);
    assert.equal(first["bytes"], 12);
    assert.equal(first["request_bytes"], 5);
    assert.equal(first["route"], "everything");
    assert.equal(first["origin"], "app");
    assert.equal(first["target"], `127.0.0.1:${scene.origin.port}`);
    assert.equal(first["reused"], false);
    assert.equal(second["reused"], true);
    assert.equal(first["attempts"], 1);
    assert.equal(first["client"], "127.0.0.1");
    assert.equal(first["port"], client.port);
    assert.equal(first["fault"], undefined);
    const [duration, firstByte] = [Number(first["duration_us"]), Number(first["first_byte_us"])];
    assert.ok(firstByte >= 50_000 && duration >= firstByte && duration < 2_000_000, `${firstByte} ${duration}`);
    assert.ok(Math.abs(Number(first["time"]) - Date.now()) < 5_000);
  },
);

scenario(
  "every way a request can end leaves exactly one line",
  {
    accessLog: true,
    settings: {
      limits: { requestBodyBytes: 100 },
      routes: [
        { match: { path: "/fixed" }, answer: { body: "x" } },
        { match: { path: "/go" }, forwardTo: "app" },
      ],
    },
  },
  async (scene) => {
    const ask = async (bytes: string): Promise<void> => {
      const client = await scene.client();
      await client.send(bytes);
      await client.answer();
      await client.close();
    };
    await ask(request("GET /fixed"));
    await ask(request("GET /nowhere"));
    await ask("GET /\x01 HTTP/1.1\r\n\r\n");
    await ask(request("POST /go", "Content-Length: 1000"));
    await scene.origin.stop();
    await ask(request("GET /go"));
    const lines = await scene.accessLog(5);
    assert.equal(lines.length, 5);
    assert.deepEqual(
      lines.map((line) => line["status"]),
      [200, 404, 400, 413, 502],
    );
    assert.deepEqual(
      lines.map((line) => line["fault"]),
      [undefined, "no_route", "bad_target", "body_too_large", "connect_refused"],
    );
    assert.deepEqual(
      lines.map((line) => line["whose"]),
      [undefined, "client", "client", "client", "origin"],
    );
  },
);

scenario(
  "a client that leaves in the middle is told from an origin that fails",
  {
    accessLog: true,
    origin: byPath({
      "/slow": async (_, connection) => {
        await pause(300);
        await connection.send(reply(200, "x"));
      },
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /slow"));
    await scene.origin.sees("the request", (origin) => origin.requests.length === 1);
    await client.reset();
    const [line] = await scene.accessLog(1);
    assert.equal(line?.["fault"], "client_gone");
    assert.equal(line?.["whose"], "client");
  },
);

scenario("bytes that a client sends cannot forge a line", { accessLog: true }, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a?%22,%22status%22:500}%0a{%22x", 'User-Agent: "}\t{"');
  await client.ask("GET /b|{}?[]");
  const lines = await scene.accessLog(2);
  assert.equal(lines.length, 2);
  assert.equal(lines[1]?.["path"], "/b|{}?[]");
});

scenario(
  "ten thousand requests leave ten thousand lines, each whole",
  { accessLog: true, workers: 2, origin: fixed("x"), originOptions: { record: false } },
  async (scene) => {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const client = await scene.client({ record: false });
        for (let n = 0; n < 50; n += 1) {
          await client.send(request(`GET /${n}`).repeat(10));
          for (let one = 0; one < 10; one += 1) await client.answer();
        }
      }),
    );
    assert.equal((await scene.accessLog(10_000)).length, 10_000);
    assert.equal((await scene.proxy.stats()).accessLogLostLines, 0);
  },
);

test("a sink that takes nothing costs lines, which are counted, and not a single request", {
  timeout: 60_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-fifo-"));
  const path = join(folder, "log");
  assert.equal(run("mkfifo", [path]).code, 0);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const scene = await Scene.open({
    origin: fixed("x"),
    originOptions: { record: false },
    settings: { accessLog: { to: path, queueBytesMax: 65_536 } },
  });
  try {
    const client = await scene.client({ record: false });
    const long = "y".repeat(4_000);
    const begun = Date.now();
    for (let n = 0; n < 200; n += 1) {
      await client.send(request(`GET /${long}`).repeat(5));
      for (let one = 0; one < 5; one += 1) assert.equal((await client.answer()).status, 200);
    }
    assert.ok(Date.now() - begun < 20_000, "requests did not wait for the log");
    const lost = (await scene.proxy.stats()).accessLogLostLines;
    assert.ok(lost > 500, `${lost} lines were lost of about 4 MB with room for 128 KiB`);
    const drained = Buffer.alloc(1 << 20);
    let read = 0;
    for (let n = 0; n < 50; n += 1) {
      try {
        read += readSync(reader, drained, 0, drained.length, null);
      } catch {
        // empty for the moment
      }
      await pause(5);
    }
    assert.ok(read > 0, "lines come again when somebody reads");
    await scene.end();
  } finally {
    await scene.abandon();
    closeSync(reader);
    rmSync(folder, { recursive: true, force: true });
  }
});
