/** Complaints name the line of the settings file they are about. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { sourceSettings } from "../../src/cli/settings-source.js";
import { describeComplaint } from "../../src/shared/errors.js";

describe("a complaint about a settings file", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-lines-"));
  after(() => rmSync(folder, { recursive: true }));

  async function complaintsOf(name: string, lines: readonly string[]): Promise<string[]> {
    const file = join(folder, name);
    writeFileSync(file, lines.join("\n"));
    const { checked } = await sourceSettings(file, {}, {});
    return checked.ok ? [] : checked.complaints.map(describeComplaint);
  }

  it("names the line of a certificate that is not there, of a wrong value and of an unknown word", async () => {
    const said = await complaintsOf("a.yaml", [
      "listeners:",
      "  - address: 127.0.0.1:0",
      "    tls:",
      "      certificates:",
      "        - cert: nowhere.pem",
      "origins:",
      "  app:",
      "    targets: http://127.0.0.1:1",
      "    connectMs: soon",
      "    conectMs: 5",
    ]);
    assert.equal(said.length, 3);
    assert.match(
      said.find((line) => line.includes("cert")) ?? "",
      /^listeners\[0\]\.tls\.certificates\[0\]\.cert \(line 5\): /,
    );
    assert.match(said.find((line) => line.includes(".connectMs")) ?? "", /^origins\.app\.connectMs \(line 9\): /);
    assert.match(
      said.find((line) => line.includes("conectMs")) ?? "",
      /^origins\.app\.conectMs \(line 10\): is not a setting/,
    );
  });

  it("names the nearest line for what is missing, also under names with dots, also in JSON", async () => {
    const yaml = await complaintsOf("b.yaml", [
      "origins:",
      '  "a.b":',
      "    host: client",
      "routes:",
      "  - forwardTo: a.b",
    ]);
    assert.match(yaml.join("\n"), /^origins\["a\.b"\]\.targets \(line 2\): /m);
    const json = await complaintsOf("c.json", ["{", '  "origins": {},', '  "workers": "many"', "}"]);
    assert.match(json.join("\n"), /^workers \(line 3\): /m);
  });

  it("names none where the settings are a program", async () => {
    const said = await complaintsOf("d.mjs", [
      'export default { workers: "many", origins: { a: { targets: "http://[::1]:1" } } };',
    ]);
    assert.match(said.join("\n"), /^workers: /m);
  });
});
