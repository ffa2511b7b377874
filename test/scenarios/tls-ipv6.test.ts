/** TLS where both sides are reached over IPv6: certificates for addresses, and no server name, as an address is none. */
import { strict as assert } from "node:assert";
import { networkInterfaces } from "node:os";
import { echoed } from "../support/behaviours.js";
import { scenario } from "../support/scene.js";
import { overTls, trusted, writeCertificate } from "../support/tls-origins.js";

const LOOPBACK = "::1";
const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === LOOPBACK));
const skip = hasIpv6 ? false : "this machine has no ::1";
const issued = trusted().issue({ names: [LOOPBACK] });

scenario(
  "a listener and an origin speak TLS over IPv6, each with a certificate for its address, and connections are kept",
  {
    ...overTls({ shows: issued, originOptions: { host: LOOPBACK } }),
    settings: {
      listeners: [{ address: `[${LOOPBACK}]:0`, tls: { certificates: [writeCertificate(issued, "six")] } }],
    },
    accessLog: true,
  },
  async (scene) => {
    const client = await scene.client({ host: LOOPBACK, tls: { ca: trusted().cert } });
    const [first, second] = [await client.ask("GET /one"), await client.ask("GET /two")];
    assert.deepEqual([first.status, second.status], [200, 200]);
    const told = echoed(first).fields.find(([name]) => name.toLowerCase() === "x-forwarded-for");
    assert.equal(told?.[1], LOOPBACK);
    assert.equal(scene.origin.accepted, 1);
    assert.equal(await scene.counter("origin_tls_handshakes"), 1);
    const [line] = await scene.accessLog(2);
    assert.deepEqual([line?.["client"], line?.["status"]], [LOOPBACK, 200]);
  },
  { skip },
);

scenario(
  "an origin at an IPv6 address whose certificate is for another address is not believed",
  overTls({ originOptions: { host: LOOPBACK } }),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /")).status, 502);
    assert.equal(await scene.counter("origin_fault_tls_verify"), 1);
    assert.equal(scene.origin.requests.length, 0);
  },
  { skip },
);
