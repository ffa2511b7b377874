/** The self-test of TLS before a proxy is ready: what it finds, and what it says. */
import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import pino from "pino";
import { runSelfTest } from "../../src/control/self-test.js";
import { loadNative } from "../../src/native.js";

const log = pino({ level: "silent" });

describe("S1-06 the self-test of TLS", () => {
  it("shakes hands in every version, with and without a client certificate, with the crypto of this build", () => {
    const cases = JSON.parse(loadNative().tlsSelfTest()) as { name: string; fault: string | null }[];
    const names = cases.map((one) => one.name);
    for (const version of ["TLSv1.2", "TLSv1.3"]) {
      for (const shown of ["with", "without"]) {
        assert.ok(names.includes(`${version}, http/1.1, ${shown} a client certificate`), names.join("\n"));
      }
    }
    assert.deepEqual(
      cases.filter((one) => one.fault !== null),
      [],
    );
    assert.equal(
      runSelfTest(() => loadNative().tlsSelfTest(), log),
      null,
    );
  });

  it("says which handshake failed and why, and blames nobody else", () => {
    const rows = [
      { name: "TLSv1.3, http/1.1, without a client certificate", fault: null },
      { name: "TLSv1.2, http/1.1, without a client certificate", fault: "tls_local_error: no random numbers" },
    ];
    assert.equal(
      runSelfTest(() => JSON.stringify(rows), log),
      "This host's own TLS fails its self-test (TLSv1.2, http/1.1, without a client certificate: tls_local_error: no random numbers).",
    );
  });
});
