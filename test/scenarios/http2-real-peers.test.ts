/** Clients of HTTP/2 that people really use: curl, nghttp, h2load, Node, Chromium. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { join } from "node:path";
import { fixed, reply, serve } from "../support/behaviours.js";
import { openPage, WITHOUT_BROWSER } from "../support/browser.js";
import { priorKnowledge } from "../support/http2-scene.js";
import { bodyDigest, bodyPiece } from "../support/load.js";
import { missing } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { NAME, runApart, TlsWorld } from "../support/tls.js";
import { pause, WireError } from "../support/wire.js";

const world = new TlsWorld();
const root = world.authority.writeTo(world.folder, "root");
const MIB = 1 << 20;

/** How curl is told where a name is, and whom to trust. */
const curlTls = (port: number): string[] => ["--cacert", root, "--resolve", `${NAME}:${port}:127.0.0.1`];
const VERSION = ["-sS", "--max-time", "15", "-w", "%{http_version} %{http_code}"];

for (const [flag, version] of [
  ["--http2", "2"],
  ["--http1.1", "1.1"],
] as const)
  scenario(
    `curl ${flag} over TLS speaks HTTP/${version}`,
    { settings: world.settings() },
    async (scene) => {
      const url = `https://${NAME}:${scene.port}`;
      const ran = await runApart("curl", [...VERSION, flag, ...curlTls(scene.port), "-o", "/dev/null", `${url}/a`]);
      assert.deepEqual([ran.code, ran.out], [0, `${version} 200`], ran.err);
      assert.equal(await scene.counter("http2_connections"), version === "2" ? 1 : 0);
    },
    { skip: missing("curl") },
  );

for (const [flag, version] of [
  ["--http2-prior-knowledge", "2"],
  ["--http2", "1.1"],
  ["--http1.1", "1.1"],
] as const)
  scenario(
    `curl ${flag} without TLS is served by HTTP/${version} on one port`,
    { settings: priorKnowledge() },
    async (scene) => {
      const ran = await runApart("curl", [...VERSION, flag, "-o", "/dev/null", `http://127.0.0.1:${scene.port}/a`]);
      assert.deepEqual([ran.code, ran.out], [0, `${version} 200`], ran.err);
    },
    { skip: missing("curl") },
  );

scenario(
  "curl over HTTP/2: uploads, HEAD, 100-continue, several requests at once over one connection",
  { settings: world.settings() },
  async (scene) => {
    const url = `https://${NAME}:${scene.port}`;
    const curl = async (...args: string[]): Promise<string> => {
      const ran = await runApart("curl", ["-sS", "--http2", "--max-time", "15", ...curlTls(scene.port), ...args]);
      assert.equal(ran.code, 0, ran.err);
      return ran.out;
    };
    const file = join(scene.folder, "upload");
    const body = Buffer.concat([bodyPiece(0, MIB), bodyPiece(MIB, MIB)]);
    writeFileSync(file, body);
    assert.ok((await curl("-T", file, `${url}/put`)).includes(bodyDigest(2 * MIB)));
    assert.ok((await curl("-H", "Expect: 100-continue", "--data", "a=b", `${url}/post`)).includes('"a=b"'));
    assert.match(await curl("-I", `${url}/head`), /^HTTP\/2 200 \r\n/);
    const opened = await scene.counter("http2_connections");
    const many = Array.from({ length: 20 }, (_, n) => `${url}/${n}`);
    const out = await curl("-Z", "--parallel-max", "20", ...many);
    for (let n = 0; n < many.length; n += 1) assert.ok(out.includes(`"/${n}"`), `no answer to /${n}`);
    assert.equal(await scene.counter("http2_connections"), opened + 1);
  },
  { skip: missing("curl") },
);

scenario(
  "nghttp: many streams, an upload, trailers, padding",
  {
    settings: priorKnowledge(),
    origin: serve((asked, connection) =>
      connection.send(reply(200, `${asked.target} ${asked.body.length} ${JSON.stringify(asked.trailers.lines)}`)),
    ),
  },
  async (scene) => {
    const url = `http://127.0.0.1:${scene.port}`;
    const nghttp = async (...args: string[]): Promise<string> => {
      const ran = await runApart("nghttp", args);
      assert.equal(ran.code, 0, ran.err);
      return ran.out;
    };
    const many = await nghttp("-m", "50", `${url}/many`);
    assert.equal(many.split("/many 0 []").length - 1, 50);
    const file = join(scene.folder, "upload");
    writeFileSync(file, Buffer.alloc(300_000));
    assert.match(await nghttp("-d", file, "-b", "100", `${url}/up`), /^\/up 300000 \[\]/);
    // To an origin of HTTP/1, a body of a known length carries no trailers (RFC 9112 7.1).
    assert.match(await nghttp("-d", file, "--trailer=x-sum: 7", `${url}/up`), /^\/up 300000 \[\]/);
    assert.match(await nghttp("-n", "-v", `${url}/one`), /recv HEADERS frame/);
  },
  { skip: missing("nghttp") },
);

scenario(
  "h2load: ten connections of 32 streams, not one failure",
  { settings: priorKnowledge(), workers: 2, origin: fixed("hello"), originOptions: { record: false } },
  async (scene) => {
    const args = ["-n", "5000", "-c", "10", "-m", "32", `http://127.0.0.1:${scene.port}/`];
    const ran = await runApart("h2load", args);
    assert.match(
      ran.out,
      /requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout/,
    );
    assert.match(ran.out, /status codes: 5000 2xx/);
    assert.equal(await scene.counter("http2_streams"), 5_000);
  },
  { skip: missing("h2load") },
);

/** One request of Node's, to its end. */
function ask(
  session: ClientHttp2Session,
  path: string,
  body?: Buffer,
): Promise<{ readonly status: number; readonly body: Buffer; readonly code: number }> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":path": path,
      ":method": body === undefined ? "GET" : "POST",
      ":authority": NAME,
    });
    const pieces: Buffer[] = [];
    let status = 0;
    stream.on("response", (head) => {
      status = Number(head[":status"]);
    });
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.once("error", reject);
    stream.once("close", () => resolve({ status, body: Buffer.concat(pieces), code: stream.rstCode }));
    stream.end(body);
  });
}

/** Plays with sessions of Node's, which are closed behind it. */
async function withSessions(
  count: number,
  open: () => ClientHttp2Session,
  play: (sessions: readonly ClientHttp2Session[]) => Promise<void>,
): Promise<void> {
  const sessions = Array.from({ length: count }, open);
  try {
    await play(sessions);
  } finally {
    await Promise.all(
      sessions.map((session) => (session.closed ? undefined : new Promise<void>((resolve) => session.close(resolve)))),
    );
  }
}

for (const way of ["prior knowledge", "TLS"] as const)
  scenario(
    `node:http2, ${way}: eight sessions, 1,600 requests, uploads and downloads among them, each whole`,
    {
      settings: way === "TLS" ? world.settings() : priorKnowledge(),
      workers: 2,
      originOptions: { record: false },
      origin: serve((asked, connection) =>
        asked.method === "POST"
          ? connection.send(reply(200, createHash("sha256").update(asked.body).digest("hex")))
          : connection.send(reply(200, bodyPiece(0, Number(asked.target.slice(1))))),
      ),
    },
    async (scene) => {
      const open = (): ClientHttp2Session =>
        way === "TLS"
          ? connect(`https://127.0.0.1:${scene.port}`, { ca: world.authority.cert, servername: NAME })
          : connect(`http://127.0.0.1:${scene.port}`);
      await withSessions(8, open, async (sessions) => {
        await Promise.all(
          sessions.map(async (session) => {
            for (let turn = 0; turn < 10; turn += 1)
              await Promise.all(
                Array.from({ length: 20 }, async (_, n) => {
                  const size = (n * 7_919) % 200_000;
                  const body = bodyPiece(0, size);
                  if (n % 4 === 0) assert.equal((await ask(session, "/up", body)).body.toString(), bodyDigest(size));
                  else assert.ok((await ask(session, `/${size}`)).body.equals(body));
                }),
              );
          }),
        );
      });
      assert.equal(await scene.counter("http2_streams"), 1_600);
      assert.equal(await scene.counter("answers_5xx"), 0);
    },
  );

scenario(
  "node:http2 that cancels half of its requests gets all of the others",
  {
    settings: priorKnowledge(),
    origin: serve(async (asked, connection) => {
      await pause(50);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    await withSessions(
      1,
      () => connect(`http://127.0.0.1:${scene.port}`),
      async ([session]) => {
        if (session === undefined) throw new WireError("no session");
        const kept: Promise<{ readonly body: Buffer }>[] = [];
        for (let n = 0; n < 40; n += 1) {
          if (n % 2 === 0) kept.push(ask(session, `/${n}`));
          else {
            const stream = session.request({ ":path": `/${n}` });
            stream.on("error", () => undefined);
            setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), n);
          }
        }
        const bodies = (await Promise.all(kept)).map(({ body }) => body.toString());
        assert.deepEqual(
          bodies,
          Array.from({ length: 20 }, (_, n) => `/${2 * n}`),
        );
      },
    );
    await scene.sees("exchanges_open", 0);
  },
);

const page = world.issue({ names: ["localhost"] });
const PAGE = `<!doctype html><title>a page</title><body>not yet<script type="module">
const all = await Promise.all(Array.from({ length: 30 }, (_, n) => fetch("/item/" + n).then((answer) => answer.text())));
const up = await fetch("/up", { method: "POST", body: "x".repeat(300000) }).then((answer) => answer.text());
const how = performance.getEntriesByType("navigation")[0].nextHopProtocol;
document.body.textContent = [how, all.join(" "), up].join(" | ");
</script>`;

scenario(
  "Chromium opens a page by HTTP/2: thirty requests at once and an upload, over one connection",
  {
    settings: world.settings({ certificates: [page.files] }),
    origin: serve((asked, connection) => {
      if (asked.target === "/") return connection.send(reply(200, PAGE, "Content-Type: text/html"));
      return connection.send(reply(200, asked.method === "POST" ? String(asked.body.length) : asked.target));
    }),
  },
  async (scene) => {
    const document = await openPage(`https://localhost:${scene.port}/`, page.issued.pin);
    const items = Array.from({ length: 30 }, (_, n) => `/item/${n}`).join(" ");
    assert.ok(document.includes(`h2 | ${items} | 300000`), document);
  },
  { skip: WITHOUT_BROWSER, timeoutMs: 100_000 },
);
