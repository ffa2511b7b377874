/** gRPC (@grpc/grpc-js) through the proxy, client and server: every kind of call, deadlines, cancels and failures. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { ChannelCredentials, Metadata, ServerCredentials, status } from "@grpc/grpc-js";
import { callUnary, EchoClient, EchoServer, failureOf } from "../support/grpc.js";
import { Scene, type SettingsOverlay } from "../support/scene.js";
import { NAME, TlsWorld } from "../support/tls.js";
import { pause, WireError } from "../support/wire.js";

const world = new TlsWorld();
const root = world.authority.writeTo(world.folder, "root");

/** A client of a scene, by TLS where its listener speaks it. */
function dial(scene: Scene, tls: boolean): EchoClient {
  const credentials = tls
    ? ChannelCredentials.createSsl(Buffer.from(world.authority.cert))
    : ChannelCredentials.createInsecure();
  const names = tls ? { "grpc.ssl_target_name_override": NAME, "grpc.default_authority": NAME } : {};
  return new EchoClient(`127.0.0.1:${scene.port}`, credentials, names);
}

/** Plays with a client and a server, the proxy between them; all speak TLS, or nobody does. */
function grpc(promise: string, play: (client: EchoClient, server: EchoServer, scene: Scene) => Promise<void>): void {
  for (const tls of [false, true])
    test(`gRPC, ${tls ? "TLS" : "plain"}: ${promise}`, { timeout: 60_000 }, async () => {
      const shown = world.authority.issue({ names: ["127.0.0.1"] });
      const pair = { cert_chain: Buffer.from(shown.cert), private_key: Buffer.from(shown.key) };
      const server = await EchoServer.start(tls ? ServerCredentials.createSsl(null, [pair]) : undefined);
      const origins: SettingsOverlay["origins"] = {
        app: {
          targets: [`${tls ? "https" : "http"}://127.0.0.1:${server.port}`],
          httpVersions: ["2"],
          ...(tls ? { tls: { ca: root, systemRoots: false } } : {}),
        },
      };
      const httpVersions: ("1.1" | "2")[] = ["1.1", "2"];
      const listeners = tls
        ? [{ address: "127.0.0.1:0", tls: { certificates: [world.pair()] } }]
        : [{ address: "127.0.0.1:0", httpVersions }];
      const scene = await Scene.open({ settings: { listeners, origins } });
      const client = dial(scene, tls);
      try {
        await play(client, server, scene);
      } catch (error) {
        client.close();
        await scene.abandon();
        server.stop();
        throw error;
      }
      client.close();
      await scene.sees("client_connections_open", 0);
      server.stop();
      await scene.end();
    });
}

grpc("a hundred unary calls at once, each with its answer", async (client) => {
  const messages = Array.from({ length: 100 }, (_, n) => Buffer.from(`message ${n}`));
  const answers = await Promise.all(messages.map((message) => callUnary(client, message)));
  assert.deepEqual(
    answers.map(({ answer }) => answer.toString()),
    messages.map((message) => message.toString()),
  );
});

grpc("metadata goes there, trailing metadata comes back", async (client) => {
  const metadata = new Metadata();
  metadata.set("x-asked", "a value");
  metadata.set("x-bytes-bin", Buffer.from([0, 1, 2, 255]));
  const { trailing } = await callUnary(client, Buffer.from("x"), { metadata });
  assert.deepEqual([trailing["x-trailing"], trailing["x-seen"]], ["behind", "a value"]);
});

grpc("a message of 3 MiB comes back whole", async (client) => {
  const message = Buffer.alloc(3 << 20, "abcdefghij");
  assert.ok((await callUnary(client, message)).answer.equals(message));
});

grpc("client streaming: two thousand messages, one answer", async (client) => {
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const call = client.collect((error, told) =>
      error === null && told !== undefined ? resolve(told) : reject(error),
    );
    for (let n = 0; n < 2_000; n += 1) call.write(Buffer.alloc(500));
    call.end();
  });
  assert.equal(answer.toString(), "2000 1000000");
});

grpc("server streaming: two thousand messages, in order", async (client) => {
  const numbers: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const call = client.spread(Buffer.from("2000"));
    call.on("data", (message: Buffer) => numbers.push(Number(message.toString().split(" ")[1])));
    call.once("error", reject);
    call.once("end", resolve);
  });
  assert.deepEqual(
    numbers,
    Array.from({ length: 2_000 }, (_, n) => n + 1),
  );
});

grpc("bidirectional streaming: each message is answered before the next is sent", async (client) => {
  const call = client.chat();
  const failed = new Promise<never>((_, reject) => call.once("error", reject));
  for (let n = 0; n < 100; n += 1) {
    const answered = new Promise<Buffer>((resolve) => call.once("data", resolve));
    call.write(Buffer.from(String(n)));
    assert.equal((await Promise.race([answered, failed])).toString(), `re: ${n}`);
  }
  const ended = new Promise<void>((resolve) => call.once("end", resolve));
  call.end();
  await Promise.race([ended, failed]);
});

grpc("fifty conversations at once do not mix", async (client) => {
  await Promise.all(
    Array.from({ length: 50 }, async (_, who) => {
      const call = client.chat();
      for (let n = 0; n < 20; n += 1) {
        const answered = new Promise<Buffer>((resolve, reject) => {
          call.once("data", resolve);
          call.once("error", reject);
        });
        call.write(Buffer.from(`${who} ${n}`));
        assert.equal((await answered).toString(), `re: ${who} ${n}`);
      }
      call.end();
      await new Promise<void>((resolve) => call.once("end", resolve).resume());
    }),
  );
});

grpc("a status without a message, in trailers alone, arrives with its words and metadata", async (client) => {
  const failure = await failureOf(callUnary(client, Buffer.from("fail:5:there is no such thing: 100 %")));
  assert.deepEqual([failure.code, failure.details], [status.NOT_FOUND, "there is no such thing: 100 %"]);
  assert.deepEqual(failure.metadata.get("x-trailing"), ["behind"]);
});

grpc("a deadline ends the call for both sides", async (client, server, scene) => {
  const failure = await failureOf(callUnary(client, Buffer.from("wait:5000"), { deadlineMs: 200 }));
  assert.equal(failure.code, status.DEADLINE_EXCEEDED);
  await until("the server's word", () => server.cancelled === 1);
  await scene.sees("exchanges_open", 0);
  assert.equal((await callUnary(client, Buffer.from("after"))).answer.toString(), "after");
});

grpc("a call that its client cancels is cancelled at the server", async (client, server, scene) => {
  const call = client.spread(Buffer.from("0"));
  const ended = new Promise<number>((resolve) =>
    call.once("error", (error) => resolve((error as { code?: number }).code ?? -1)),
  );
  await new Promise<void>((resolve) => call.once("data", () => resolve()));
  call.cancel();
  assert.equal(await ended, status.CANCELLED);
  await until("the server's word", () => server.cancelled === 1);
  await scene.sees("exchanges_open", 0);
  assert.equal(await scene.counter("origin_failures"), 0, "nobody blames the server");
});

grpc("a server that goes is UNAVAILABLE to its client", async (client, server) => {
  await callUnary(client, Buffer.from("first"));
  server.stop();
  assert.equal((await failureOf(callUnary(client, Buffer.from("second")))).code, status.UNAVAILABLE);
});

async function until(what: string, look: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (look()) return;
    await pause(10);
  }
  throw new WireError(`not seen: ${what}`);
}
