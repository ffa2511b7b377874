/** Requests and bodies over TLS: however they fall into records, they arrive as sent, with bounded memory. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, request as ask } from "node:https";
import { test } from "node:test";
import { echoed, fixed, reply, serve } from "../support/behaviours.js";
import { bounded, MIB } from "../support/bounded.js";
import { chunk, request, requestWithBody } from "../support/client.js";
import { bodyDigest, bodyPiece, download, upload } from "../support/load.js";
import { missing } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { NAME, runApart, TlsWorld } from "../support/tls.js";
import { APPLICATION, TappedClient } from "../support/tls-records.js";

const world = new TlsWorld();
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
const digestOf = (body: Buffer): string => createHash("sha256").update(body).digest("hex");
/** Around the greatest record, twice it, and our own buffers. */
const SIZES = [0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 200_000];

for (const version of VERSIONS) {
  const asks = world.asks({ minVersion: version, maxVersion: version });

  scenario(
    `bodies of sizes around those of records arrive whole, both ways (${version})`,
    { settings: world.settings() },
    async (scene) => {
      const client = await scene.client({ tls: asks });
      for (const size of SIZES) {
        const body = bodyPiece(size, size);
        assert.equal(echoed(await client.post("POST /up", body)).digest, digestOf(body), `${size} up`);
        await client.send(
          request("POST /up", "Transfer-Encoding: chunked"),
          ...(size > 0 ? [chunk(body)] : []),
          "0\r\n\r\n",
        );
        assert.equal(echoed(await client.answer()).digest, digestOf(body), `${size} up in chunks`);
      }
    },
  );

  scenario(
    `answers of sizes around those of records arrive whole, by length and in chunks (${version})`,
    {
      settings: world.settings(),
      origin: serve(({ target }, connection) => {
        const body = bodyPiece(0, Number(target.slice(2)));
        if (target.startsWith("/l")) return connection.send(reply(200, body));
        const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        return connection.send(head, ...(body.length > 0 ? [chunk(body)] : []), "0\r\n\r\n");
      }),
    },
    async (scene) => {
      const client = await scene.client({ tls: asks });
      for (const size of SIZES)
        for (const kind of ["l", "c"])
          assert.equal(digestOf((await client.ask(`GET /${kind}${size}`)).body), digestOf(bodyPiece(0, size)));
      assert.equal(await scene.counter("tls_handshakes"), 1);
    },
  );

  scenario(
    `a request of one byte a record is a request (${version})`,
    { settings: world.settings() },
    async (scene) => {
      const client = await TappedClient.connect(scene.port, asks);
      for (const byte of requestWithBody("POST /bytes", "a body")) await client.wire.send(Buffer.of(byte));
      const answer = await client.wire.until("the answer", (unread) =>
        unread.includes("}") ? unread.toString() : undefined,
      );
      assert.match(answer, /"body":"a body"/);
      await client.close();
    },
  );

  scenario(
    `heads and chunks split over records anywhere are whole again (${version})`,
    { settings: world.settings() },
    async (scene) => {
      const client = await scene.client({ tls: asks });
      const whole = Buffer.concat([
        Buffer.from(request("POST /split", "Transfer-Encoding: chunked", "X-Long: ".padEnd(300, "x"))),
        chunk("first"),
        chunk("second"),
        Buffer.from("0\r\nX-Trailer: t\r\n\r\n"),
      ]);
      for (let cut = 1; cut < whole.length; cut += 7) {
        await client.send(whole.subarray(0, cut));
        await client.send(whole.subarray(cut));
        assert.equal(echoed(await client.answer()).body, "firstsecond");
      }
    },
  );

  scenario(
    `pipelined requests in one record, and across records, are answered in order (${version})`,
    { settings: world.settings() },
    async (scene) => {
      const client = await scene.client({ tls: asks });
      const many = Buffer.from(Array.from({ length: 100 }, (_, n) => request(`GET /${n}`)).join(""));
      assert.ok(many.length < 16_384);
      for (const pieces of [[many], [many.subarray(0, 2_001), many.subarray(2_001)]]) {
        for (const piece of pieces) await client.send(piece);
        for (let n = 0; n < 100; n += 1) assert.equal(echoed(await client.answer()).target, `/${n}`);
      }
      assert.equal(await scene.counter("client_connections_accepted"), 1);
    },
  );

  scenario(`Expect: 100-continue works over TLS (${version})`, { settings: world.settings() }, async (scene) => {
    const client = await scene.client({ tls: asks });
    await client.send(request("POST /up", "Expect: 100-continue", "Content-Length: 4"));
    assert.equal((await client.head()).status, 100);
    await client.send("body");
    assert.equal(echoed(await client.answer()).body, "body");
  });
}

scenario(
  "small answers go in one record each, head and body together",
  { settings: world.settings(), origin: fixed("small") },
  async (scene) => {
    const client = await TappedClient.connect(scene.port, world.asks());
    await client.wire.send(request("GET /"));
    await client.wire.until("the answer", (unread) => (unread.includes("small") ? true : undefined));
    const before = client.tap.seen.length;
    await client.wire.send(request("GET /"));
    await client.wire.until("the second answer", (unread) =>
      unread.toString().split("small").length === 3 ? true : undefined,
    );
    const after = client.tap.seen.slice(before);
    assert.deepEqual(
      after.map(({ type }) => type),
      [APPLICATION],
    );
    await client.close();
  },
);

scenario("Node's https agent keeps its connection alive", { settings: world.settings() }, async (scene) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...world.asks() });
  for (let n = 0; n < 5; n += 1) {
    const text = await new Promise<string>((resolve, reject) => {
      const asked = ask({ host: "127.0.0.1", port: scene.port, path: `/${n}`, method: "POST", agent }, (answer) => {
        let all = "";
        answer.on("data", (piece: Buffer) => {
          all += piece.toString();
        });
        answer.once("end", () => resolve(all));
      });
      asked.once("error", reject);
      asked.end(`body ${n}`);
    });
    assert.equal((JSON.parse(text) as { body: string }).body, `body ${n}`);
  }
  agent.destroy();
  assert.equal(await scene.counter("tls_handshakes"), 1);
});

scenario(
  "curl uploads and downloads 30 MB",
  {
    settings: world.settings(),
    originOptions: { record: false },
    origin: serve((asked, connection) => connection.send(reply(200, asked.body))),
  },
  async (scene) => {
    const [up, down] = [`${world.folder}/up.bin`, `${world.folder}/down.bin`];
    const body = Buffer.concat(Array.from({ length: 30 }, () => bodyPiece(0, 1 << 20)));
    writeFileSync(up, body);
    const where = ["--resolve", `${NAME}:${scene.port}:127.0.0.1`, `https://${NAME}:${scene.port}/up`];
    const ran = await runApart("curl", ["-sSk", "--data-binary", `@${up}`, "-o", down, ...where]);
    assert.equal(ran.code, 0, ran.err);
    assert.equal(digestOf(readFileSync(down)), digestOf(body));
  },
  { skip: missing("curl") },
);

const BIG = 30 * MIB;
const PROXY = {
  workers: 1,
  listeners: [{ address: "127.0.0.1:0", tls: { certificates: [world.pair()] } }],
  asks: world.asks(),
};

for (const version of VERSIONS) {
  const asks = world.asks({ maxVersion: version });
  const whole = { bytes: BIG, digest: bodyDigest(BIG) };

  test(
    `30 MiB to a slow reader over TLS arrive whole, and memory stays bounded (${version})`,
    { timeout: 60_000 },
    () => bounded(PROXY, 0, async (port) => assert.deepEqual(await download(port, BIG, 1, asks), whole)),
  );

  test(
    `30 MiB over TLS to a slow origin arrive whole, and memory stays bounded (${version})`,
    { timeout: 60_000 },
    () => bounded(PROXY, 1, async (port) => assert.deepEqual(await upload(port, BIG, false, asks), whole)),
  );
}
