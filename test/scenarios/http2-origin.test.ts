/**
 * HTTP/2 to origins: how it comes about (ALPN, prior knowledge), that one connection carries what would be many, and that
 * everything an answer or a request has passes.
 */
import { strict as assert } from "node:assert";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { reply, serve } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import { withNodeOrigin } from "../support/http2-origins.js";
import { missing, Peer } from "../support/peers.js";
import { Scene, scenario } from "../support/scene.js";
import { overTls, trusted, trusting, usual, writeCertificate } from "../support/tls-origins.js";
import { pause } from "../support/wire.js";

const TIMEOUT = { timeout: 60_000 };

/** Answers with what came. */
function tell(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const { ":method": method, ":path": path, ":scheme": scheme, ":authority": authority } = headers;
  stream.respond({ ":status": 200, "content-type": "text/plain" });
  if (method === "HEAD") stream.end();
  else stream.end(`${method} ${path} ${scheme} ${authority}`);
}

function mirror(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  stream.respond({ ":status": 200, "x-te": String(headers["te"]) });
  stream.pipe(stream);
}

for (const secure of [false, true]) {
  for (const workers of [1, 2]) {
    const how = `${secure ? "TLS and ALPN" : "prior knowledge"}, ${workers} ${workers === 1 ? "worker" : "workers"}`;
    test(`one connection carries the requests of fifty clients at once: ${how}`, TIMEOUT, async () => {
      const waiting: ServerHttp2Stream[] = [];
      const together = (stream: ServerHttp2Stream): void => {
        waiting.push(stream);
        if (waiting.length < 50) return;
        for (const one of waiting.splice(0)) {
          one.respond({ ":status": 200 });
          one.end("all are here");
        }
      };
      await withNodeOrigin(together, { secure, workers }, async (scene, origin) => {
        const clients = await Promise.all(Array.from({ length: 50 }, () => scene.client()));
        const answers = await Promise.all(clients.map((client, index) => client.ask(`GET /${index}`)));
        assert.deepEqual([...new Set(answers.map(({ body }) => body.toString()))], ["all are here"]);
        assert.equal(origin.sessions, 1);
        const { counters } = (await scene.proxy.stats()).all;
        assert.equal(counters.origin_connections_opened, 1);
        assert.equal(counters.origin_http2_connections, 1);
        assert.equal(counters.origin_http2_streams, 50);
        assert.equal(counters.origin_requests_reused, 49, "all but the first");
      });
    });
  }
}

test("a request over HTTP/2 is what it was: method, path, scheme, authority; and Via names the version", TIMEOUT, () =>
  withNodeOrigin(tell, { secure: true }, async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a?b=c", "Host: a.example");
    assert.equal(answer.body.toString(), "GET /a?b=c https a.example");
    assert.equal(answer.fields.one("via"), "2 millrace");
    assert.equal((await client.ask("HEAD /a")).body.length, 0);
    assert.equal((await client.ask("OPTIONS *", "Host: a.example")).body.toString(), "OPTIONS * https a.example");
    assert.equal((await client.ask("GET /%7B^|{}", "Host: a.example")).status, 200);
  }),
);

test(
  'a target that does not choose HTTP/2 is spoken to in HTTP/1.1 where ["2", "1.1"] allows it, and nobody waits',
  TIMEOUT,
  () =>
    withNodeOrigin(tell, { secure: true, http1: true, app: { httpVersions: ["2", "1.1"] } }, async (scene, origin) => {
      const client = await scene.client();
      assert.equal((await client.ask("GET /a")).status, 200);
      assert.equal(origin.sessions, 1, "it chooses HTTP/2 where it can");
    }),
);

scenario(
  'requests that waited for a connection which turns out to speak HTTP/1.1 get connections of their own ("2", "1.1")',
  overTls({
    origin: serve(async (_, connection) => {
      await pause(50);
      await connection.send(reply(200, "ok"));
    }),
    originSettings: { httpVersions: ["2", "1.1"] },
  }),
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => scene.client()));
    const answers = await Promise.all(clients.map((client) => client.ask("GET /a")));
    assert.ok(answers.every(({ status }) => status === 200));
    const { counters } = (await scene.proxy.stats()).all;
    assert.equal(counters.origin_http2_connections, 0);
    assert.ok(counters.origin_connections_opened > 1, `${counters.origin_connections_opened} opened`);
  },
);

scenario(
  'a target over TLS that does not agree to HTTP/2 is a fault of its own where ["2"] insists on it',
  overTls({ originSettings: { httpVersions: ["2"] } }),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 502);
    assert.equal(await scene.counter("origin_fault_protocol_mismatch"), 1);
  },
);

scenario(
  "a plain target that speaks HTTP/1.1 is a fault of its own where HTTP/2 is spoken with prior knowledge",
  {
    originSettings: { httpVersions: ["2"] },
    origin: (connection) => connection.send("HTTP/1.1 400 Bad Request\r\n\r\n"),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 502);
    assert.equal(await scene.counter("origin_fault_protocol_mismatch"), 1);
  },
);

test("trailers pass both ways, and TE: trailers with them", TIMEOUT, () => {
  const handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    let came = "";
    stream.on("trailers", (trailers: IncomingHttpHeaders) => {
      came = String(trailers["x-sum"]);
    });
    stream.respond({ ":status": 200, "x-te": String(headers["te"]) }, { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "x-came": came }));
    stream.pipe(stream);
  };
  return withNodeOrigin(handler, {}, async (scene) => {
    const client = await scene.client();
    const head = request("POST /a", "Transfer-Encoding: chunked", "Trailer: X-Sum", "TE: trailers", "Connection: TE");
    await client.send(head, chunk("words"), "0\r\nX-Sum: 7\r\n\r\n");
    const answer = await client.answer("POST");
    assert.equal(answer.fields.one("x-te"), "trailers");
    assert.equal(answer.body.toString(), "words");
    assert.equal(answer.trailers.one("grpc-status"), "0");
    assert.equal(answer.trailers.one("x-came"), "7");
  });
});

test("interim answers pass", TIMEOUT, () => {
  const handler = (stream: ServerHttp2Stream): void => {
    stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
    stream.respond({ ":status": 200 });
    stream.end("after");
  };
  return withNodeOrigin(handler, {}, async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    const early = await client.head();
    assert.equal(early.status, 103);
    assert.equal(early.fields.one("link"), "</a.css>; rel=preload");
    assert.equal((await client.answer()).body.toString(), "after");
  });
});

test("a body of 16 MiB passes both ways, with a length and without one", TIMEOUT, () =>
  withNodeOrigin(mirror, { workers: 2 }, async (scene) => {
    const body = Buffer.alloc(16 * 1024 * 1024, "0123456789abcdef");
    const first = await scene.client({ record: false });
    assert.ok((await first.post("PUT /a", body)).body.equals(body));
    const client = await scene.client({ record: false });
    const pieces = Array.from({ length: 256 }, (_, at) => chunk(body.subarray(at * 65_536, (at + 1) * 65_536)));
    await client.send(request("PUT /a", "Transfer-Encoding: chunked"), ...pieces, "0\r\n\r\n");
    assert.ok((await client.answer("PUT")).body.equals(body));
  }),
);

/** Each request asks for the name of its own Host. */
const BY_HOST = { tls: trusting({ sni: "host", verifyName: "sni" }) };

test(
  "S0-10 a request is put on a connection opened for another name whose certificate is good for its own",
  TIMEOUT,
  () =>
    withNodeOrigin(tell, { secure: true, app: BY_HOST }, async (scene, origin) => {
      const client = await scene.client();
      for (const name of ["a.example", "b.example", "A.EXAMPLE"]) {
        assert.equal((await client.ask("GET /a", `Host: ${name}`)).status, 200);
      }
      assert.equal(origin.sessions, 1);
    }),
);

test("S0-10 one whose certificate is not good for the new name is left alone, and another opened", TIMEOUT, () => {
  const shows = Object.fromEntries(
    ["a.example", "b.example"].map((name) => [name, trusted().issue({ names: [name] })]),
  );
  return withNodeOrigin(tell, { secure: true, shows, app: BY_HOST }, async (scene, origin) => {
    const client = await scene.client();
    for (const name of ["a.example", "b.example", "a.example", "b.example"]) {
      assert.equal((await client.ask("GET /a", `Host: ${name}`)).body.toString(), `GET /a https ${name}`);
    }
    assert.equal(origin.sessions, 2);
  });
});

test("S0-10 without verification no connection is shared between names", TIMEOUT, () => {
  const app = { tls: { sni: "host" as const, verify: false } };
  return withNodeOrigin(tell, { secure: true, app }, async (scene, origin) => {
    const client = await scene.client();
    for (const name of ["a.example", "b.example"]) await client.ask("GET /a", `Host: ${name}`);
    assert.equal(origin.sessions, 2);
  });
});

test("a worker that dies takes its connection along; the other worker's requests get another", TIMEOUT, () =>
  withNodeOrigin(tell, { workers: 2 }, async (scene) => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => scene.client()));
    for (const client of clients) assert.equal((await client.ask("GET /a")).status, 200);
    await scene.proxy.provokePanic(0);
    await pause(1500);
    const after = await Promise.all(Array.from({ length: 8 }, () => scene.client()));
    for (const client of after) assert.equal((await client.ask("GET /b")).status, 200);
  }),
);

for (const secure of [false, true]) {
  test(`nginx as an origin of HTTP/2, ${secure ? "by ALPN" : "with prior knowledge"}`, {
    ...TIMEOUT,
    skip: missing("nginx"),
  }, async () => {
    const files = writeCertificate(usual(), "nginx-http2");
    const tls = `ssl_certificate ${files.cert}; ssl_certificate_key ${files.key};`;
    const answer = 'return 200 "$server_protocol $connection_requests";';
    const nginx = await Peer.nginx(answer, secure ? tls : "", { ssl: secure, http2: true });
    const scene = await Scene.open({
      origins: {},
      settings: {
        origins: {
          app: {
            targets: [`${secure ? "https" : "http"}://127.0.0.1:${nginx.port}`],
            httpVersions: ["2"],
            ...(secure ? { tls: trusting() } : {}),
          },
        },
        routes: [{ forwardTo: "app" }],
      },
    });
    try {
      const client = await scene.client();
      for (let n = 1; n <= 50; n += 1) {
        assert.equal((await client.ask("GET /a")).body.toString(), `HTTP/2.0 ${n}`);
      }
      await scene.end();
    } finally {
      await scene.abandon();
      await nginx.stop();
    }
  });
}
