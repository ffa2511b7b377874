/** Programs people really use, on both sides of the proxy: Express, node:http, undici, nginx, curl, wrk, hey. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { Agent, createServer, request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import express from "express";
import { fetch, Agent as UndiciAgent } from "undici";
import type { SettingsInput } from "../../src/index.js";
import { fixed } from "../support/behaviours.js";
import { sweepBooks } from "../support/books.js";
import { bodyDigest, bodyPiece, download, settle, watch } from "../support/load.js";
import { missing, Peer, run } from "../support/peers.js";
import { type RunningProxy, residentBytes, startApart } from "../support/proxy.js";
import { scenario } from "../support/scene.js";
import { WireError } from "../support/wire.js";

const MIB = 1 << 20;
/** The largest file nginx serves: 64 MiB in CI, 1 GiB by hand with `BIG_MIB=1024`. */
const BIG = Number(process.env["BIG_MIB"] ?? "64") * MIB;

/** Plays with Millrace in its own process before the origin on `originPort`. */
async function before(
  originPort: number,
  play: (port: number, proxy: RunningProxy) => Promise<void>,
  more: SettingsInput = {},
): Promise<void> {
  const origins = { app: { targets: [`http://127.0.0.1:${originPort}`] } };
  const proxy = await startApart({
    workers: 2,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    origins,
    ...more,
  });
  try {
    await play(proxy.started.listeners[0]?.port ?? 0, proxy);
  } finally {
    await proxy.stop();
  }
}

/** An Express application of the usual kind. */
function application(): express.Express {
  const app = express();
  app.set("trust proxy", true);
  app.use(express.json());
  app.get("/hello", (_, answer) => void answer.type("text/plain").send("hello"));
  app.get(
    "/who",
    (asked, answer) => void answer.json({ ip: asked.ip, host: asked.hostname, protocol: asked.protocol }),
  );
  app.post(
    "/sum",
    (asked, answer) => void answer.json({ sum: (asked.body as { of: number[] }).of.reduce((a, b) => a + b, 0) }),
  );
  app.get("/stream", (_, answer) => {
    answer.type("text/plain");
    for (let n = 0; n < 100; n += 1) answer.write(`line ${n}\n`);
    answer.end();
  });
  app.get("/nothing", (_, answer) => void answer.sendStatus(204));
  app.put("/upload", (asked, answer) => {
    const hash = createHash("sha256");
    asked.on("data", (piece: Buffer) => hash.update(piece));
    asked.on("end", () => answer.json({ digest: hash.digest("hex") }));
  });
  app.get("/fail", () => {
    throw new WireError("on purpose");
  });
  app.use(
    (_: unknown, __: express.Request, answer: express.Response, ___: express.NextFunction) =>
      void answer.status(500).send("sorry"),
  );
  return app;
}

test("an Express application works through the proxy, asked by undici", { timeout: 60_000 }, async () => {
  const server = createServer(application());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await before((server.address() as AddressInfo).port, async (port, proxy) => {
      const dispatcher = new UndiciAgent({ pipelining: 4 });
      const base = `http://127.0.0.1:${port}`;
      const ask = (path: string, options: Parameters<typeof fetch>[1] = {}) =>
        fetch(`${base}${path}`, { dispatcher, ...options });
      await Promise.all(
        Array.from({ length: 50 }, async () => assert.equal(await (await ask("/hello")).text(), "hello")),
      );
      assert.deepEqual(await (await ask("/who")).json(), { ip: "127.0.0.1", host: "127.0.0.1", protocol: "http" });
      const sum = await ask("/sum", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ of: [1, 2, 39] }),
      });
      assert.deepEqual(await sum.json(), { sum: 42 });
      assert.equal((await (await ask("/stream")).text()).split("\n").length, 101);
      assert.equal((await ask("/nothing")).status, 204);
      assert.equal((await ask("/fail")).status, 500);
      assert.equal((await ask("/missing")).status, 404);
      const body = Buffer.concat(Array.from({ length: 64 }, (_, n) => bodyPiece(n * 65_536, 65_536)));
      const upload = await ask("/upload", { method: "PUT", body: new Blob([body]).stream(), duplex: "half" });
      assert.deepEqual(await upload.json(), { digest: createHash("sha256").update(body).digest("hex") });
      await dispatcher.close();
      server.closeAllConnections();
      assert.deepEqual(await sweepBooks(proxy), []);
    });
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

scenario(
  "node:http with keep-alive is content: 2,000 requests, no error, one connection a socket",
  { workers: 2, origin: fixed("hello"), originOptions: { record: false } },
  async (scene) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const ask = (): Promise<void> =>
      new Promise((resolve, reject) => {
        const asked = httpRequest(
          { port: scene.port, host: "127.0.0.1", agent, path: "/" },
          (answer: IncomingMessage) => {
            let body = "";
            answer.on("data", (piece: Buffer) => (body += piece.toString()));
            answer.on("end", () => (body === "hello" ? resolve() : reject(new WireError(body))));
          },
        );
        asked.once("error", reject);
        asked.end();
      });
    for (let n = 0; n < 20; n += 1) await Promise.all(Array.from({ length: 100 }, ask));
    assert.equal(await scene.counter("client_connections_accepted"), 8);
    agent.destroy();
  },
);

/** Writes the first `size` bytes of the endless body into a file. */
function writeBody(path: string, size: number): void {
  const file = openSync(path, "w");
  for (let at = 0; at < size; ) {
    const piece = bodyPiece(at, size - at);
    writeSync(file, piece);
    at += piece.length;
  }
  closeSync(file);
}

test(`nginx serves files of 1 B to ${BIG / MIB} MiB through the proxy: digests are equal, memory is flat`, {
  timeout: 300_000,
  skip: missing("nginx"),
}, async () => {
  const nginx = await Peer.nginx("root html; sendfile on; keepalive_timeout 10s;");
  try {
    run("mkdir", ["-p", join(nginx.folder, "html")]);
    const sizes = [1, 100, 4_096, 65_536, MIB, 10 * MIB + 1, BIG];
    for (const size of sizes) writeBody(join(nginx.folder, "html", String(size)), size);
    await before(nginx.port, async (port, proxy) => {
      for (const size of sizes.slice(0, 5)) assert.equal((await download(port, size)).digest, bodyDigest(size));
      await settle();
      const memory = watch(() => residentBytes(proxy.pid));
      const start = residentBytes(proxy.pid);
      for (const size of sizes) assert.equal((await download(port, size)).digest, bodyDigest(size), `${size} bytes`);
      await Promise.all(
        Array.from({ length: 16 }, async () => assert.equal((await download(port, MIB)).digest, bodyDigest(MIB))),
      );
      const grown = memory.stop() - start;
      assert.ok(grown < 24 * MIB, `memory grew by ${(grown / MIB).toFixed(1)} MiB`);
    });
  } finally {
    await nginx.stop();
  }
});

test("nginx answers ranges, conditional requests and HEAD through the proxy", {
  timeout: 60_000,
  skip: missing("nginx"),
}, async () => {
  const nginx = await Peer.nginx("root html;");
  try {
    run("mkdir", ["-p", join(nginx.folder, "html")]);
    writeBody(join(nginx.folder, "html", "file"), 10_000);
    await before(nginx.port, async (port) => {
      const url = `http://127.0.0.1:${port}/file`;
      const whole = await fetch(url);
      const etag = whole.headers.get("etag") ?? "";
      await whole.arrayBuffer();
      const part = await fetch(url, { headers: { range: "bytes=100-199" } });
      assert.equal(part.status, 206);
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(bodyPiece(100, 100)));
      assert.equal((await fetch(url, { headers: { "if-none-match": etag } })).status, 304);
      const head = await fetch(url, { method: "HEAD" });
      assert.equal(head.headers.get("content-length"), "10000");
    });
  } finally {
    await nginx.stop();
  }
});

scenario(
  "curl: keep-alive, uploads by length and in chunks, 100-continue, HTTP/1.0, HEAD",
  {},
  async (scene) => {
    // In this process the scripted origin answers only while nobody blocks, so curl runs beside it.
    const { spawn } = await import("node:child_process");
    const curl = (...args: string[]): Promise<string> =>
      new Promise((resolve, reject) => {
        const child = spawn("curl", ["-sS", "--max-time", "10", ...args]);
        let [out, err] = ["", ""];
        child.stdout.on("data", (piece: Buffer) => (out += piece.toString()));
        child.stderr.on("data", (piece: Buffer) => (err += piece.toString()));
        child.once("close", (code) =>
          code === 0 ? resolve(out) : reject(new WireError(`curl ended with ${code}: ${err}`)),
        );
      });
    const base = `http://127.0.0.1:${scene.port}`;
    assert.match(await curl(`${base}/1`, `${base}/2`, `${base}/3`), /"\/1".*"\/2".*"\/3"/s);
    assert.equal(await scene.counter("client_connections_accepted"), 1);
    const file = join(scene.folder, "upload");
    writeBody(file, 3 * MIB);
    const digest = createHash("sha256").update(readFileSync(file)).digest("hex");
    assert.ok((await curl("-T", file, `${base}/put`)).includes(digest));
    assert.ok((await curl("-H", "Transfer-Encoding: chunked", "-T", file, `${base}/put`)).includes(digest));
    assert.ok((await curl("-0", `${base}/old`)).includes('"/old"'));
    assert.match(await curl("-I", `${base}/head`), /^HTTP\/1\.1 200 OK\r\n/);
    assert.ok((await curl("--data", "a=b", "-H", "Expect: 100-continue", `${base}/post`)).includes('"a=b"'));
  },
  { skip: missing("curl") },
);

for (const [name, args, good] of [
  ["wrk", ["-t1", "-c32", "-d2s"], /Requests\/sec:\s+[1-9]/],
  ["hey", ["-n", "4000", "-c", "32"], /\[200\]\s+4000 responses/],
] as const) {
  test(`${name} finds no error`, { timeout: 60_000, skip: missing(name) || missing("nginx") }, async () => {
    const nginx = await Peer.nginx(
      'location / { default_type text/plain; return 200 "hello"; } keepalive_requests 1000000;',
    );
    try {
      await before(nginx.port, async (port, proxy) => {
        const { code, out, err } = run(name, [...args, `http://127.0.0.1:${port}/`]);
        assert.equal(code, 0, err);
        assert.match(out, good);
        assert.doesNotMatch(out, /Non-2xx|Socket errors: connect [1-9]|Error distribution/);
        const { counters } = (await proxy.stats()).all;
        assert.equal(counters.answers_5xx, 0);
        assert.ok(counters.origin_requests_reused / counters.origin_requests > 0.99);
      });
    } finally {
      await nginx.stop();
    }
  });
}
