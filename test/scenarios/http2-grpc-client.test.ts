/** A gRPC client (@grpc/grpc-js) before an origin that answers by HTTP/1: trailers, streams, deadlines and cancels. */
import { strict as assert } from "node:assert";
import { ChannelCredentials, type ServiceError, status } from "@grpc/grpc-js";
import { byPath, chunkedReply, reply } from "../support/behaviours.js";
import { chunk } from "../support/client.js";
import { callUnary, EchoClient, failureOf } from "../support/grpc.js";
import { priorKnowledge } from "../support/http2-scene.js";
import type { Handler } from "../support/origin.js";
import { type Scene, type SettingsOverlay, scenario } from "../support/scene.js";
import { NAME, TlsWorld } from "../support/tls.js";

const world = new TlsWorld();
const GRPC = "Content-Type: application/grpc";

/** A message as gRPC frames it. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** How many messages these bytes are. */
function messagesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt32BE(at + 1)) count += 1;
  return count;
}

const done = (code: number, words = ""): string[] => [
  `grpc-status: ${code}`,
  ...(words === "" ? [] : [`grpc-message: ${words}`]),
];

/** Plays before an origin with these methods, over TLS and without. */
function before(
  promise: string,
  methods: Readonly<Record<string, Handler>>,
  play: (client: EchoClient, scene: Scene) => Promise<void>,
): void {
  const handlers = Object.fromEntries(
    Object.entries(methods).map(([name, handler]) => [`/test.Echo/${name}`, handler]),
  );
  for (const tls of [false, true]) {
    const settings: SettingsOverlay = tls ? world.settings() : priorKnowledge();
    scenario(
      `gRPC to HTTP/1, ${tls ? "TLS" : "plain"}: ${promise}`,
      { origin: byPath(handlers), settings },
      async (scene) => {
        const trust = tls
          ? ChannelCredentials.createSsl(Buffer.from(world.authority.cert))
          : ChannelCredentials.createInsecure();
        const names = tls ? { "grpc.ssl_target_name_override": NAME, "grpc.default_authority": NAME } : {};
        const client = new EchoClient(`127.0.0.1:${scene.port}`, trust, names);
        try {
          await play(client, scene);
        } finally {
          client.close();
        }
        await scene.sees("client_connections_open", 0);
      },
    );
  }
}

before(
  "fifty unary calls at once, status in trailers",
  { Unary: (asked, connection) => connection.send(chunkedReply([asked.body], done(0), GRPC)) },
  async (client, scene) => {
    const calls = Array.from({ length: 50 }, (_, n) => callUnary(client, Buffer.from(`message ${n}`)));
    const answers = await Promise.all(calls);
    for (const [n, { answer }] of answers.entries()) assert.equal(answer.toString(), `message ${n}`);
    const { fields } = scene.origin.last;
    assert.deepEqual([fields.one("te"), fields.one("content-type")], ["trailers", "application/grpc"]);
    assert.equal(await scene.counter("client_connections_accepted"), 1);
  },
);

before(
  "a status without a message, in the head alone",
  { Unary: (_, connection) => connection.send(reply(200, "", GRPC, ...done(5, "no such thing"))) },
  async (client) => {
    const failure = await failureOf(callUnary(client, Buffer.from("x")));
    assert.deepEqual([failure.code, failure.details], [status.NOT_FOUND, "no such thing"]);
  },
);

before(
  "a status behind a message that is an error",
  { Unary: (asked, connection) => connection.send(chunkedReply([asked.body], done(9, "not%20now"), GRPC)) },
  async (client) => {
    const failure = await failureOf(callUnary(client, Buffer.from("x")));
    assert.deepEqual([failure.code, failure.details], [status.FAILED_PRECONDITION, "not now"]);
  },
);

before(
  "server streaming: a thousand messages in order, then the status",
  {
    Spread: async (_, connection) => {
      await connection.send(`HTTP/1.1 200 OK\r\n${GRPC}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      for (let n = 1; n <= 1_000; n += 1) await connection.send(chunk(framed(Buffer.from(`message ${n}`))));
      await connection.send(`0\r\n${done(0).join("\r\n")}\r\n\r\n`);
    },
  },
  async (client) => {
    const seen: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const call = client.spread(Buffer.from("go"));
      call.on("data", (message: Buffer) => seen.push(message.toString()));
      call.once("error", reject);
      call.once("end", resolve);
    });
    assert.deepEqual(
      seen,
      Array.from({ length: 1_000 }, (_, n) => `message ${n + 1}`),
    );
  },
);

before(
  "client streaming: a thousand messages, one answer",
  {
    Collect: (asked, connection) =>
      connection.send(chunkedReply([framed(Buffer.from(String(messagesIn(asked.body))))], done(0), GRPC)),
  },
  async (client) => {
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const call = client.collect((error, told) =>
        error === null && told !== undefined ? resolve(told) : reject(error ?? new Error("no answer")),
      );
      for (let n = 0; n < 1_000; n += 1) call.write(Buffer.alloc(500));
      call.end();
    });
    assert.equal(answer.toString(), "1000");
  },
);

/** Says nothing until its connection ends. */
const silent: Handler = async (_, connection) => void (await connection.ended(60_000));

before("a deadline ends the call at the origin too", { Unary: silent }, async (client, scene) => {
  const failure = await failureOf(callUnary(client, Buffer.from("x"), { deadlineMs: 300 }));
  assert.equal(failure.code, status.DEADLINE_EXCEEDED);
  await scene.origin.lastConnection.ended();
  await scene.sees("exchanges_open", 0);
  assert.equal(await scene.counter("origin_failures"), 0, "nobody blames the origin");
});

before(
  "a call that its client cancels midway is over at the origin too",
  {
    Spread: async (_, connection) => {
      await connection.send(
        `HTTP/1.1 200 OK\r\n${GRPC}\r\nTransfer-Encoding: chunked\r\n\r\n`,
        chunk(framed(Buffer.from("first"))),
      );
      await connection.ended(60_000);
    },
  },
  async (client, scene) => {
    const call = client.spread(Buffer.from("go"));
    const ended = new Promise<ServiceError>((resolve) => call.once("error", (error) => resolve(error as ServiceError)));
    await new Promise<void>((resolve) => call.once("data", () => resolve()));
    call.cancel();
    assert.equal((await ended).code, status.CANCELLED);
    await scene.origin.lastConnection.ended();
    await scene.sees("exchanges_open", 0);
  },
);

before(
  "an answer that is cut is no success, whatever came of it",
  {
    Unary: async (asked, connection) => {
      await connection.send(`HTTP/1.1 200 OK\r\n${GRPC}\r\nTransfer-Encoding: chunked\r\n\r\n`, chunk(asked.body));
      await connection.pause(30);
      await connection.reset();
    },
  },
  async (client) => {
    const failure = await failureOf(callUnary(client, Buffer.from("x")));
    assert.ok(failure.code === status.INTERNAL || failure.code === status.UNAVAILABLE, String(failure.code));
  },
);
