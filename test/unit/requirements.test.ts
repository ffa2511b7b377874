/** The list of requirements is whole, and tests are found by the ids in their titles. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  CONCERNS,
  cover,
  findTests,
  isMissing,
  type Requirement,
  readRequirements,
  strangers,
  testsInRust,
  testsInTypeScript,
  WAITS,
} from "../../scripts/requirements.js";

/** How many requirements each part has. */
const PARTS: readonly number[] = [20, 11, 15, 17, 17];

// Put together here, so that this file is no test of them.
const A = ["S0", "14"].join("-");
const B = ["S4", "07"].join("-");

test("the list has every id once, in order, each with a sentence, a concern and what it waits for", () => {
  const wanted = PARTS.flatMap((count, part) =>
    Array.from({ length: count }, (_, n) => `S${part}-${String(n + 1).padStart(2, "0")}`),
  );
  const list = readRequirements();
  assert.deepEqual(
    list.map((one) => one.id),
    wanted,
  );
  for (const { id, meaning, concern, waitingFor } of list) {
    assert.match(meaning, /^[A-Z].*\.$/, id);
    assert.ok(CONCERNS.includes(concern), `${id}: ${concern}`);
    assert.ok(waitingFor === undefined || WAITS.includes(waitingFor), `${id}: ${waitingFor}`);
  }
});

test("titles of tests carry ids, several at a time; comments do not", () => {
  const text = `// "${A} said in a comment"\n * "${A} said in a header"\nscenario("${A} ${B} it holds", {}, play);\n  ["x", \`${B} \${word}\`],`;
  assert.deepEqual(
    testsInTypeScript("a.test.ts", text).map(({ id, title }) => [id, title]),
    [
      [A, `${A} ${B} it holds`],
      [B, `${A} ${B} it holds`],
      [B, `${B} \${word}`],
    ],
  );
});

test("test functions in Rust carry ids; other functions do not", () => {
  const text =
    "#[test]\nfn s0_14_they_contend() {}\n#[test]\n#[ignore]\nfn both_s4_07_and() {}\nfn s4_08_helper() {}\n";
  assert.deepEqual(
    testsInRust("a.rs", text).map(({ id, title }) => [id, title]),
    [
      [A, "s0_14_they_contend"],
      [B, "both_s4_07_and"],
    ],
  );
});

test("what concerns origins, clients, TLS, HTTP/2 or the cache must have a test unless it waits", () => {
  const one = (concern: Requirement["concern"], waits = false): Requirement => ({
    id: A,
    meaning: "It holds.",
    concern,
    ...(waits ? { waitingFor: "Cache" as const } : {}),
  });
  const missing = (requirement: Requirement) => cover([requirement], []).some(isMissing);
  assert.ok(missing(one("origins")) && missing(one("clients")) && missing(one("tls")));
  assert.ok(
    missing(one("h2")) && missing(one("cache")) && !missing(one("operating")) && !missing(one("origins", true)),
  );
  const named = [{ id: A, file: "a.test.ts", title: A }];
  assert.ok(!cover([one("origins")], named).some(isMissing));
  assert.deepEqual(
    strangers([one("origins")], [...named, { id: B, file: "b.test.ts", title: B }]).map(({ id }) => id),
    [B],
  );
});

test("every id in a title of the repository is in the list", () => {
  assert.deepEqual(strangers(readRequirements(), findTests()), []);
});
