/** S4-11: connections that carry one client's authentication are that client's alone; plain Authorization shares. */
import { strict as assert } from "node:assert";
import { echo, echoed, reply, serve } from "../support/behaviours.js";
import { type Scene, scenario } from "../support/scene.js";

const BASIC = "Authorization: Basic YTpi";

/** On which origin connection a request went. */
async function connectionOf(
  scene: Scene,
  client: Awaited<ReturnType<Scene["client"]>>,
  ...fields: string[]
): Promise<number> {
  const at = echoed(await client.ask("GET /who", ...fields)).connection;
  await scene.sees("exchanges_open", 0);
  return at;
}

for (const scheme of ["NTLM TlRMTVNTUAAB", "Negotiate YII", "negotiate yii", "nTlM abc"])
  scenario(
    `S4-11 Authorization: ${scheme} pins its connection to one client, and it goes with that client`,
    {},
    async (scene) => {
      const [owner, other] = [await scene.client(), await scene.client()];
      const pinned = await connectionOf(scene, owner, `Authorization: ${scheme}`);
      const shared = await connectionOf(scene, other);
      assert.notEqual(shared, pinned, "nobody else gets the pinned connection");
      assert.equal(await connectionOf(scene, owner), pinned, "the owner keeps it, also without the field");
      assert.equal(await connectionOf(scene, other), shared);
      await owner.close();
      await scene.sees("origin_closes_owner_gone", 1);
      await scene.sees("origin_connections_open", 1);
      assert.equal(await connectionOf(scene, other), shared);
    },
  );

for (const challenge of [["NTLM"], ["Negotiate"], ["Basic realm=x", "NTLM"], ["Basic realm=x, Negotiate"]])
  scenario(
    `S4-11 a challenge of ${challenge.join(" + ")} pins the connection it came on`,
    {
      origin: serve((asked, connection) =>
        asked.target === "/challenge"
          ? connection.send(reply(401, String(connection.id), ...challenge.map((one) => `WWW-Authenticate: ${one}`)))
          : connection.send(reply(200, String(connection.id))),
      ),
    },
    async (scene) => {
      const [owner, other] = [await scene.client(), await scene.client()];
      const pinned = (await owner.ask("GET /challenge")).body.toString();
      assert.notEqual((await other.ask("GET /a")).body.toString(), pinned);
      assert.equal((await owner.ask("GET /b", "Authorization: NTLM abc")).body.toString(), pinned);
      assert.equal((await owner.ask("GET /c")).body.toString(), pinned);
      await owner.close();
      await scene.sees("origin_closes_owner_gone", 1);
    },
  );

scenario("S4-11 plain Authorization shares by default", {}, async (scene) => {
  const [a, b] = [await scene.client(), await scene.client()];
  const first = await connectionOf(scene, a, BASIC);
  assert.equal(await connectionOf(scene, b, "Authorization: Bearer other"), first);
  assert.equal(await connectionOf(scene, b), first);
  assert.equal(scene.origin.accepted, 1);
});

scenario(
  "S4-11 connectionAuth any: any Authorization pins",
  { settings: { routes: [{ forwardTo: "app", connectionAuth: "any" }] } },
  async (scene) => {
    const [a, b] = [await scene.client(), await scene.client()];
    const first = await connectionOf(scene, a, BASIC);
    assert.notEqual(await connectionOf(scene, b), first);
    assert.equal(await connectionOf(scene, a), first);
  },
);

scenario(
  "S4-11 connectionAuth never: nothing pins",
  { settings: { routes: [{ forwardTo: "app", connectionAuth: "never" }] } },
  async (scene) => {
    const [a, b] = [await scene.client(), await scene.client()];
    const first = await connectionOf(scene, a, "Authorization: NTLM abc");
    assert.equal(await connectionOf(scene, b), first);
    assert.equal(scene.origin.accepted, 1);
  },
);

scenario(
  "S4-11 a pinned client that asks another origin gets a connection there that is as much its own",
  {
    origins: { app: echo(), other: echo() },
    settings: { routes: [{ match: { host: "other.example" }, forwardTo: "other" }, { forwardTo: "app" }] },
  },
  async (scene) => {
    const [owner, guest] = [await scene.client(), await scene.client()];
    await connectionOf(scene, owner, "Authorization: NTLM abc");
    const there = await connectionOf(scene, owner, "Host: other.example");
    assert.notEqual(await connectionOf(scene, guest, "Host: other.example"), there);
    assert.equal(scene.origins["other"]?.accepted, 2);
    await owner.close();
    await scene.sees("origin_closes_owner_gone", 2);
  },
);

scenario(
  "S4-11 with two workers that steal, a pinned connection is stolen by nobody",
  { workers: 2 },
  async (scene) => {
    const owner = await scene.client();
    const pinned = await connectionOf(scene, owner, "Authorization: NTLM abc");
    const others = await Promise.all(Array.from({ length: 8 }, () => scene.client()));
    for (const other of others)
      for (let turn = 0; turn < 5; turn += 1) assert.notEqual(await connectionOf(scene, other), pinned);
    assert.equal(await connectionOf(scene, owner), pinned);
  },
);

scenario("S4-11 a pinned connection that the origin closes is replaced by one of the same owner", {}, async (scene) => {
  const [owner, other] = [await scene.client(), await scene.client()];
  const pinned = await connectionOf(scene, owner, "Authorization: NTLM abc");
  await scene.origin.connections[pinned]?.close();
  await scene.sees("origin_connections_open", 0);
  const next = await connectionOf(scene, owner);
  assert.notEqual(next, pinned);
  assert.notEqual(await connectionOf(scene, other), next);
});
