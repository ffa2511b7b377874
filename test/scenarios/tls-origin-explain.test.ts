/** Explain for origins over TLS: names, trust and our certificate as the next handshake would have them, and a command of curl that does it. */
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { reply, serve } from "../support/behaviours.js";
import { makeAuthority } from "../support/certificates.js";
import { missing } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { overTls, usual, writeCertificate } from "../support/tls-origins.js";

const clients = makeAuthority("client root");
const ours = () => writeCertificate(clients.issue({ names: ["proxy.example"], client: true }), "ours");

/** Says whom it was asked for and who asked. */
const telling = serve((asked, connection) => {
  const { subject } = connection.session.getPeerCertificate();
  const told = [asked.fields.one("host"), connection.serverName, subject?.CN ?? "", connection.session.getProtocol()];
  return connection.send(reply(200, told.join(" "), "Connection: close"));
});

for (const [what, tls, names] of [
  ["an address", {}, { sni: "", verifyName: "127.0.0.1" }],
  ["a name of its own", { sni: "@a.example" }, { sni: "a.example", verifyName: "a.example" }],
  ["the Host", { sni: "host" }, { sni: "b.example", verifyName: "b.example" }],
  ["two names", { sni: "@a.example", verifyName: "@c.example" }, { sni: "a.example", verifyName: "c.example" }],
  ["a pin and TLS 1.2", { sni: "@a.example", pins: [usual().pin], versions: ["1.2"] as const }, { sni: "a.example" }],
] as const) {
  scenario(
    `S1-05 explain names what TLS is done with (${what}), and its command of curl is answered as a request is`,
    overTls({
      origin: telling,
      speaks: { requestCert: true, ca: clients.cert },
      originSettings: { host: "client" },
      tls: { ...tls, clientCertificate: ours() },
    }),
    async (scene) => {
      const client = await scene.client();
      const answer = (await client.ask("GET /a", "Host: b.example")).body.toString();
      const explained = scene.millrace.explain({ url: "http://b.example/a" });
      for (const [field, value] of Object.entries(names)) {
        assert.equal((explained.tls as unknown as Record<string, unknown>)[field], value, field);
      }
      assert.equal(explained.tls?.verify, true);
      const command = explained.curl ?? "";
      const { stdout } = await promisify(execFile)("sh", ["-c", command.replace(/^curl /, "curl -s ")], {
        timeout: 20_000,
      });
      assert.equal(stdout, answer, command);
      assert.match(answer, /proxy\.example/);
    },
    { skip: missing("curl") },
  );
}
