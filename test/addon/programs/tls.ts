/**
 * TLS on both sides with the crypto that the addon brings along: a client of this Node speaks TLS to the proxy, and the
 * proxy to a TLS server of this Node. What Node itself is linked to must make no difference.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "../../support/certificates.js";
import { expectBalance, portOf, proxyTo } from "./kit.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
const authority = makeAuthority("addon");
const issued = authority.issue({ names: ["localhost"] });
const ca = authority.writeTo(folder, "ca");

const server = createServer({ cert: issued.cert, key: issued.key }, (asked, answer) => answer.end(`saw ${asked.url}`));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port: behind } = server.address() as AddressInfo;

const proxy = proxyTo(
  { url: `https://127.0.0.1:${behind}`, close: () => Promise.resolve() },
  {
    listeners: [{ address: "127.0.0.1:0", tls: { certificates: [issued.writeTo(folder, "www")], fallback: "first" } }],
    origins: { app: { targets: `https://127.0.0.1:${behind}`, tls: { ca, sni: "@localhost" } } },
  },
);
const port = await portOf(proxy);

/** Asks once over TLS of one version; resolves with the version spoken and the body. */
function ask(
  version: "TLSv1.2" | "TLSv1.3",
  path: string,
): Promise<{ readonly spoken: string; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const options = { port, path, ca: authority.cert, minVersion: version, maxVersion: version, agent: false } as const;
    const asked = request({ host: "127.0.0.1", servername: "localhost", ...options }, (answer) => {
      const spoken = (answer.socket as unknown as { getProtocol(): string }).getProtocol();
      let body = "";
      answer.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      answer.on("end", () => resolve({ spoken, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  for (const path of ["/one", "/two"]) {
    assert.deepEqual(await ask(version, path), { spoken: version, body: `saw ${path}` });
  }
}
assert.equal(proxy.stats().all.counters.tls_handshakes, 4);
await expectBalance(proxy);
await proxy.stop({ deadlineMs: 2000 });
server.closeAllConnections();
await new Promise((resolve) => server.close(resolve));
rmSync(folder, { recursive: true, force: true });
