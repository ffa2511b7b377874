/** Early data (RFC 8446 2.3): requests that anybody could replay. No ticket invites them, and none that come are heard. */
import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { listening, missing, sparePort } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { NAME, runApart, sClient, TlsWorld } from "../support/tls.js";

const world = new TlsWorld();
const asks = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;

/** A ticket of another server's, which does take early data. */
async function foreignTicket(): Promise<string> {
  const [port, path, { cert, key }] = [await sparePort(), join(world.folder, "foreign.pem"), world.pair()];
  const where = ["-accept", `127.0.0.1:${port}`, "-cert", cert, "-key", key];
  // The first connection is the one that finds out that it listens.
  const server = runApart("openssl", ["s_server", ...where, "-tls1_3", "-early_data", "-naccept", "2"], [""], 3000);
  await listening(port);
  await sClient(port, ["-tls1_3", "-sess_out", path], ["", ""], 300);
  await server;
  return path;
}

scenario(
  "early data is invited by no ticket; where it comes all the same it is dropped, and the request behind the handshake answered",
  { settings: world.settings() },
  async (scene) => {
    const early = join(world.folder, "early");
    writeFileSync(early, asks("/early"));
    const own = await sClient(scene.port, ["-tls1_3"], ["", asks("/first")], 300);
    assert.match(own.out, /Max Early Data: 0/);
    const foreign = ["-tls1_3", "-sess_in", await foreignTicket(), "-early_data", early];
    const said = await sClient(scene.port, foreign, ["", asks("/behind")], 300);
    assert.match(said.out, /Early data was rejected/);
    assert.match(said.out, /HTTP\/1\.1 200 OK/);
    assert.deepEqual(
      scene.origin.requests.map(({ target }) => target),
      ["/first", "/behind"],
    );
    assert.equal(await scene.counter("tls_resumed"), 0);
  },
  { skip: missing("openssl") },
);
