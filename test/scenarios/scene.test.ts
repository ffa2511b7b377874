/** The scene of these tests itself: however it ends, nothing of it is left on this host. */
import { strict as assert } from "node:assert";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openSockets } from "../support/proxy.js";
import { Scene, type SceneOptions } from "../support/scene.js";

/** Where the scenes of this file alone make their folders. */
let own = "";
const outside = process.env["TMPDIR"];

before(() => {
  own = mkdtempSync(join(tmpdir(), "millrace-scenes-"));
  process.env["TMPDIR"] = own;
});

after(() => {
  if (outside === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = outside;
  rmSync(own, { recursive: true, force: true });
});

const CANNOT_BEGIN: readonly (readonly [string, SceneOptions])[] = [
  ["its settings are refused", { settings: { workers: -1 } }],
  ["an origin cannot listen", { originOptions: { host: "192.0.2.1" } }],
];

for (const [why, options] of CANNOT_BEGIN)
  test(`a scene that cannot begin because ${why} leaves no folder and no socket`, async () => {
    const sockets = openSockets(process.pid);
    await assert.rejects(Scene.open(options));
    assert.deepEqual(readdirSync(own), []);
    assert.equal(openSockets(process.pid), sockets);
  });

test("a scene that is abandoned in the middle of a request leaves no folder and no socket", async () => {
  const sockets = openSockets(process.pid);
  const scene = await Scene.open();
  assert.equal(readdirSync(own).length, 1);
  const client = await scene.client();
  await client.send("GET /a HTTP/1.1\r\n");
  await scene.abandon();
  assert.deepEqual(readdirSync(own), []);
  assert.equal(openSockets(process.pid), sockets);
});
