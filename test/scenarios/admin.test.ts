/**
 * The admin API of a running proxy: what it answers is of the schemas it shows, the log level changes at once, workers are
 * profiled while they serve, and a token that the settings name is asked for.
 */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { openapiDocument } from "../../src/admin/openapi.js";
import { type Answered, type Asked, askAt } from "../support/admin.js";
import { flawsOf, type JsonSchema } from "../support/json-schema.js";
import { readExposition } from "../support/metrics.js";
import { type Scene, scenario } from "../support/scene.js";
import { PATIENCE_MS, within } from "../support/wire.js";

const ADMIN = { address: "127.0.0.1:0" } as const;
const JSON_TYPE = { "Content-Type": "application/json" };
const SCHEMAS = (openapiDocument() as unknown as { components: { schemas: Readonly<Record<string, JsonSchema>> } })
  .components.schemas;

function ask(scene: Scene, path: string, asked: Asked = {}): Promise<Answered> {
  return askAt(scene.proxy.started.admin?.port ?? 0, path, asked);
}

/** A 200 of a schema. */
async function shown<T>(scene: Scene, path: string, schema: string, asked: Asked = {}): Promise<T> {
  const { status, text } = await ask(scene, path, asked);
  assert.equal(status, 200, text);
  const value: unknown = JSON.parse(text);
  assert.deepEqual(flawsOf(value, SCHEMAS[schema] ?? {}, SCHEMAS), [], path);
  return value as T;
}

scenario(
  "a running proxy answers what the document says",
  { workers: 2, settings: { admin: ADMIN } },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /");
    const { version, workers, generation, whyNotReady } = await shown<{
      readonly version: string;
      readonly workers: readonly object[];
      readonly generation: number;
      readonly whyNotReady: string | null;
    }>(scene, "/status", "Status");
    assert.match(version, /^\d+\.\d+\.\d+/);
    assert.deepEqual([workers.length, generation, whyNotReady], [2, 1, null]);
    for (const [path, schema] of [
      ["/stats", "Stats"],
      ["/origins", "Origins"],
      ["/certificates", "Certificates"],
      ["/connections", "Connections"],
      ["/explain?url=http://a.example/", "Explanation"],
      ["/log-level", "LogLevel"],
      ["/livez", "Alive"],
      ["/readyz", "Ready"],
    ] as const) {
      await shown(scene, path, schema);
    }
  },
);

scenario(
  "workers and the control plane are profiled while they serve, one profile of each at a time",
  { workers: 2, settings: { admin: ADMIN } },
  async (scene) => {
    const client = await scene.client();
    const post = { method: "POST" };
    const [first, second, main, other] = await Promise.all([
      ask(scene, "/workers/0/profile?seconds=0.4", post),
      ask(scene, "/workers/0/profile?seconds=0.4", post),
      shown(scene, "/workers/main/profile?seconds=0.4", "Profile", post),
      shown<{ readonly startTime: number; readonly endTime: number }>(
        scene,
        "/workers/1/profile?seconds=0.4",
        "Profile",
        post,
      ),
      client.ask("GET /"),
    ]);
    assert.deepEqual([first.status, second.status].sort(), [200, 409]);
    assert.ok(main !== undefined);
    assert.ok(other.endTime - other.startTime >= 390_000, "in microseconds");
    assert.equal((await ask(scene, "/workers/2/profile", post)).status, 404);
    await shown(scene, "/workers/0/profile?seconds=0.1", "Profile", post);
  },
);

scenario(
  "a log that was silent speaks when its level is changed, and is silent again",
  { apart: true, processLog: true, settings: { admin: ADMIN, log: { level: "error" } } },
  async (scene) => {
    const put = (level: string) =>
      ask(scene, "/log-level", { method: "PUT", headers: JSON_TYPE, body: JSON.stringify({ level }) });
    assert.equal((await put("info")).status, 200);
    assert.equal((await shown<{ level: string }>(scene, "/log-level", "LogLevel")).level, "info");
    assert.equal((await ask(scene, "/targets/app/none:1/drain", { method: "POST" })).status, 404);
    const target = scene.origin.url.replace("http://", "");
    assert.equal((await ask(scene, `/targets/app/${target}/drain`, { method: "POST" })).status, 200);
    assert.equal((await put("error")).status, 200);
    assert.equal((await ask(scene, `/targets/app/${target}/undrain`, { method: "POST" })).status, 200);
    const messages = () => scene.processLog().map((line) => line["msg"]);
    while (messages().length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(messages(), ["the log level is changed", "a target is draining", "the log level is changed"]);
  },
);

scenario(
  "the token of the settings is asked for",
  { settings: { admin: { ...ADMIN, token: "0123456789abcdef" } } },
  async (scene) => {
    assert.equal((await ask(scene, "/stats")).status, 401);
    assert.equal((await ask(scene, "/stats", { headers: { Authorization: "Bearer 0123456789abcdef" } })).status, 200);
    assert.equal((await ask(scene, "/readyz")).status, 200);
  },
);

scenario(
  "a worker that dies while it is profiled is said, and its successor can be profiled",
  { workers: 2, settings: { admin: ADMIN } },
  async (scene) => {
    const post = { method: "POST" };
    const dying = ask(scene, "/workers/0/profile?seconds=30", post);
    // Another call answers only after the order has been taken in.
    await ask(scene, "/status");
    const replaced = once(scene.millrace, "workerReplaced");
    await scene.proxy.provokePanic(0);
    const { status, text } = await within(dying, PATIENCE_MS, "the end of the profile");
    assert.deepEqual([status, /worker 0 died/.test(text)], [503, true], text);
    await within(replaced, PATIENCE_MS, "the successor");
    await shown(scene, "/workers/0/profile?seconds=0.1", "Profile", post);
  },
);

scenario(
  "while it drains, the proxy is not ready, says so, and still tells its books",
  { workers: 2, settings: { admin: ADMIN } },
  async (scene) => {
    const client = await scene.client();
    await client.send("GET / HTTP/1.1\r\nHost: a.example\r\n");
    await scene.sees("client_connections_open", 1);
    const stopping = scene.stop(PATIENCE_MS);
    assert.equal((await ask(scene, "/readyz")).status, 503);
    const { state } = await shown<{ readonly state: string }>(scene, "/status", "Status");
    assert.equal(state, "stopping");
    const metrics = await ask(scene, "/metrics");
    assert.equal(metrics.status, 200);
    const families = readExposition(metrics.text, "prometheus");
    assert.equal(families.find(({ name }) => name === "millrace_ready")?.samples[0]?.value, 0);
    await shown(scene, "/stats", "Stats");
    assert.equal((await ask(scene, "/origins")).status, 409);
    await client.close();
    await stopping;
  },
);
