/**
 * Promises of the policies a route forwards by: outcomes are spelled right or refused, escalation ends, limits leave room
 * for our own answers, and what has no effect is warned about.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { checkSettings } from "../../src/config/check.js";
import { FAULTS, OWN_ANSWER_BYTES_MAX } from "../../src/config/faults.js";
import { compileOutcomes, judgeOutcome, NAMED_FAULTS, parseStatus } from "../../src/config/outcomes.js";
import { describeComplaint } from "../../src/shared/errors.js";

const FAULT_TABLE = fileURLToPath(new URL("../../../native-bindings/proto/src/fault.rs", import.meta.url));
const ORIGINS = { api: { targets: "127.0.0.1:9000" }, backup: { targets: "127.0.0.1:9001" } };

/** A document whose one route says this; a second route keeps the other origin in use. */
function route(says: object, origins: object = ORIGINS): object {
  return { origins, routes: [{ match: { path: "/a" }, forwardTo: "api", ...says }, { forwardTo: "backup" }] };
}

/** All complaints about a document, as lines. */
function complaintsAbout(document: unknown): readonly string[] {
  const checked = checkSettings(document);
  return checked.ok ? [] : checked.complaints.map(describeComplaint);
}

/** All warnings about a document, as lines. */
function warningsAbout(document: unknown): readonly string[] {
  return checkSettings(document).warnings.map(describeComplaint);
}

describe("outcomes", () => {
  it("know every class of failure of the core, with its status and sentence, and no other", () => {
    const table = /OriginFault \{\n(.*?)\n {4}\}/s.exec(readFileSync(FAULT_TABLE, "utf8"))?.[1] ?? "";
    const rows = [...table.matchAll(/^\s+\w+ (\d+) "(\w+)" "(.+)";$/gm)];
    const ofCore = rows.map(([, status, token, says]) => ({ token, status: Number(status), says }));
    assert.deepEqual(FAULTS, ofCore);
  });

  it("are one status, a range, a hundred, or a class", () => {
    assert.deepEqual(parseStatus(502), { ok: true, value: { from: 502, to: 502 } });
    assert.deepEqual(parseStatus("503-504"), { ok: true, value: { from: 503, to: 504 } });
    assert.deepEqual(parseStatus("4XX"), { ok: true, value: { from: 400, to: 499 } });
    for (const wrong of [99, 600, "6xx", "50", "504-503", "99-200", "500-600", "5xx-6xx", ""]) {
      assert.equal(parseStatus(wrong).ok, false, String(wrong));
    }
    for (const { token } of NAMED_FAULTS) assert.equal(judgeOutcome(token), null);
    assert.match(judgeOutcome("status") ?? "", /^is written as the status itself/);
  });

  it("of a status hold the failures that would be answered with it, so that silence is as bad as a 504", () => {
    assert.deepEqual(compileOutcomes([504]), {
      statuses: [{ from: 504, to: 504 }],
      faults: ["connect_timeout", "tls_timeout", "header_timeout", "body_timeout", "dns_timeout", "total_timeout"],
    });
    assert.deepEqual(compileOutcomes(["5xx"]).faults.length, NAMED_FAULTS.length);
    assert.deepEqual(compileOutcomes([429, "pool_full"]), {
      statuses: [{ from: 429, to: 429 }],
      faults: ["pool_full"],
    });
  });
});

describe("escalation", () => {
  const about = (rule: object, origins?: object) => complaintsAbout(route({ escalate: [rule] }, origins));

  it("S2-03: goes by statuses 100 to 599 and classes; invalid ones and unknown targets refuse the settings", () => {
    assert.deepEqual(about({ on: [100, 599, "5xx", "connect_refused", "header_timeout"], to: "backup" }), []);
    assert.deepEqual(about({ on: [99], to: "backup" }), ["routes[0].escalate[0].on[0]: must be 100 to 599"]);
    assert.match(
      about({ on: ["600"], to: "backup" })[0] ?? "",
      /^routes\[0\]\.escalate\[0\]\.on\[0\]: "600" is not a status/,
    );
    assert.match(
      about({ on: ["connect_refusd"], to: "backup" })[0] ?? "",
      /^routes\[0\]\.escalate\[0\]\.on\[0\]: "connect_refusd" is neither .* did you mean "connect_refused"\?$/,
    );
    assert.deepEqual(about({ on: [], to: "backup" }), ["routes[0].escalate[0].on: must name at least one"]);
    assert.deepEqual(about({ to: "backpu" }), [
      'routes[0].escalate[0].to: no origin is called "backpu"; did you mean "backup"?',
    ]);
    assert.deepEqual(about({ to: "http://127.0.0.1:9002" }), []);
    assert.deepEqual(about({ to: "127.0.0.1:9002" }), []);
    assert.match(about({ to: "http://127.0.0.1:9002/path" })[0] ?? "", /must be only http:\/\/host:port/);
    assert.deepEqual(about({ to: "https://127.0.0.1" }), []);
  });

  it("never leads back to where it began", () => {
    assert.deepEqual(about({ to: "api" }), ["routes[0].escalate[0].to: is the origin that failed; name another one"]);
    assert.deepEqual(about({ to: "http://127.0.0.1:9000" }), [
      "routes[0].escalate[0].to: is a target of the origin that failed; name another one",
    ]);
    const own =
      'routes[0].escalate[0].to: "127.0.0.1:8080" is a listener of this proxy itself; that circle would never end';
    assert.deepEqual(about({ to: "127.0.0.1:8080" }), [own]);
    assert.deepEqual(about({ to: "backup" }, { ...ORIGINS, backup: { targets: "127.0.0.1:8080" } }), [own]);
  });

  it("counts as use of an origin", () => {
    const routes = [{ forwardTo: "api", escalate: [{ to: "backup" }] }];
    assert.deepEqual(warningsAbout({ origins: ORIGINS, routes }), []);
  });

  it("S2-03: by a class after which nothing can follow is warned about by name, beside classes that do escalate", () => {
    const warned = (on: readonly (string | number)[]) => warningsAbout(route({ escalate: [{ on, to: "backup" }] }));
    for (const token of ["body_truncated", "body_malformed", "body_timeout"]) {
      assert.deepEqual(warned(["connect_refused", token]), [
        `routes[0].escalate[0].on[1]: "${token}" never escalates: the client has the beginning of the answer by then`,
      ]);
    }
    assert.deepEqual(warned(["total_timeout", 504]), [
      'routes[0].escalate[0].on[0]: "total_timeout" never escalates: no time is left for another origin',
    ]);
    assert.deepEqual(warned(["5xx", "504", 502]), [], "a status stands for failures that do escalate, too");
    // A length over the limit is known before the client has a byte.
    assert.deepEqual(warned(["answer_too_large", "header_timeout", "local_resource", "no_healthy_target"]), []);
  });

  it("is complained of in a route that is otherwise wrong", () => {
    const found = complaintsAbout(route({ escalate: [{ to: "nobody" }], halfClos: "abort" }));
    assert.ok(found.some((line) => line.startsWith('routes[0].escalate[0].to: no origin is called "nobody"')));
    assert.ok(found.includes('routes[0].halfClos: is not a setting; did you mean "halfClose"?'));
  });
});

describe("limits of bodies", () => {
  const about = (answerBodyBytes: number, answers: readonly object[] = []) =>
    complaintsAbout(route({ limits: { answerBodyBytes }, answers }));

  it("S4-04: one smaller than our own error page is refused when the settings load", () => {
    const pages = FAULTS.map(({ status, says }) => Buffer.byteLength(`${status} ${says}\n`));
    assert.ok(Math.max(...pages) <= OWN_ANSWER_BYTES_MAX, "every page of our own fits into the least limit");
    assert.deepEqual(about(OWN_ANSWER_BYTES_MAX - 1), [
      `routes[0].limits.answerBodyBytes: must be 0 (no limit) or ${OWN_ANSWER_BYTES_MAX} to ${Number.MAX_SAFE_INTEGER} bytes`,
    ]);
    assert.deepEqual(about(OWN_ANSWER_BYTES_MAX), []);
    assert.deepEqual(about(0), []);
    const page = { status: 503, body: "ö".repeat(200) };
    assert.deepEqual(about(300, [{ status: 502 }, page]), [
      "routes[0].limits.answerBodyBytes: is smaller than the answer in answers[1] (400 bytes)",
    ]);
    assert.deepEqual(about(400, [page]), []);
    assert.deepEqual(about(0, [page]), []);
  });
});

describe("answers", () => {
  it("name failures, or statuses that some failure has", () => {
    assert.deepEqual(complaintsAbout(route({ answers: [{ on: ["header_timeout", 502], status: 503 }] })), []);
    assert.deepEqual(complaintsAbout(route({ answers: [{ on: [502, 418], status: 503 }] })), [
      "routes[0].answers[0].on[1]: no failure of an origin is answered with 418",
    ]);
    assert.deepEqual(complaintsAbout(route({ answers: [{ status: 204, body: "gone" }] })), [
      "routes[0].answers[0].body: an answer with status 204 has no body",
    ]);
    assert.deepEqual(complaintsAbout(route({ answers: [{ body: "x" }] })), ["routes[0].answers[0].status: is missing"]);
  });

  it("that can never be given are warned about", () => {
    const about = (...answers: readonly object[]) => warningsAbout(route({ answers }));
    const never = ["routes[0].answers[1]: is never given: those before it take all its failures"];
    assert.deepEqual(about({ status: 503 }, { on: [502], status: 502 }), never);
    assert.deepEqual(about({ on: ["5xx"], status: 503 }, { on: ["pool_full"], status: 502 }), never);
    assert.deepEqual(about({ on: ["pool_full"], status: 503 }, { status: 502 }), []);
  });
});

describe("retries", () => {
  it("are refused where they contradict themselves, and warned about where they cannot fit", () => {
    assert.deepEqual(complaintsAbout(route({ retry: { backoffMs: 500, backoffMaxMs: 100 } })), [
      "routes[0].retry.backoffMs: must be at most backoffMaxMs (100)",
    ]);
    assert.match(
      complaintsAbout(route({ retry: { statuses: [700] } }))[0] ?? "",
      /retry\.statuses\[0\]: must be 100 to 599/,
    );
    assert.deepEqual(warningsAbout(route({ retry: { attempts: 4, perTryMs: 300 }, timeouts: { totalMs: 1000 } })), [
      "routes[0].retry.perTryMs: 4 attempts of 300 ms do not fit into the total of 1000 ms; the last ones are cut short",
    ]);
    const origins = { ...ORIGINS, api: { ...ORIGINS.api, totalMs: 1000, firstByteMs: 800 } };
    assert.equal(warningsAbout(route({ retry: { attempts: 4, perTryMs: 300 } }, origins)).length, 1);
    assert.deepEqual(
      warningsAbout(route({ retry: { attempts: 4, perTryMs: 300 }, timeouts: { totalMs: 0 } }, origins)),
      [],
    );
    assert.deepEqual(warningsAbout(route({ retry: { attempts: 1, perTryMs: 800 } }, origins)), [
      "routes[0].retry.perTryMs: has no effect: firstByteMs (800) ends the attempt before",
    ]);
    assert.deepEqual(warningsAbout(route({ retry: false }, origins)), []);
  });
});

describe("connections for requests that must not be sent twice", () => {
  it("are spelled right or refused", () => {
    for (const unrepeatable of ["fresh", "standby", "reuse", { reuseIfRecentMs: 2000 }]) {
      assert.deepEqual(complaintsAbout(route({ unrepeatable })), []);
    }
    assert.deepEqual(complaintsAbout(route({ unrepeatable: "new" })), [
      'routes[0].unrepeatable: must be "fresh", "standby", "reuse" or { reuseIfRecentMs: … }',
    ]);
    assert.deepEqual(complaintsAbout(route({ unrepeatable: { reuseIfRecentMs: 0 } })), [
      "routes[0].unrepeatable.reuseIfRecentMs: must be 1 to 86400000 ms",
    ]);
  });

  it("are warned about where the origin makes another policy of it", () => {
    const api = (says: object) => ({ ...ORIGINS, api: { ...ORIGINS.api, ...says } });
    const about = (unrepeatable: unknown, says: object) => warningsAbout(route({ unrepeatable }, api(says)));
    assert.deepEqual(about("standby", {}), [
      'routes[0].unrepeatable: is as "fresh": origins.api.standby keeps no connection ready',
    ]);
    assert.deepEqual(about("standby", { standby: 2 }), []);
    const unshared = ['routes[0].unrepeatable: is as "fresh": no connection of this origin is used twice'];
    assert.deepEqual(about("reuse", { match: "none" }), unshared);
    assert.deepEqual(warningsAbout({ ...route({ unrepeatable: "reuse" }), persistence: { origin: false } }), unshared);
    assert.deepEqual(about({ reuseIfRecentMs: 4000 }, {}), [
      'routes[0].unrepeatable: is as "reuse": idle connections are kept for 4000 ms only (origins.api.idleMs)',
    ]);
    assert.deepEqual(about({ reuseIfRecentMs: 4000 }, { idleMs: 5000 }), []);
  });
});

describe("policies", () => {
  it("have a meaning beside forwardTo only", () => {
    const policies = {
      unrepeatable: "fresh",
      timeouts: {},
      limits: {},
      retry: false,
      escalate: [],
      answers: [],
      halfClose: "abort",
      connectionAuth: "any",
    };
    for (const [name, value] of Object.entries(policies)) {
      const routes = [{ answer: { status: 404 }, [name]: value }];
      assert.deepEqual(complaintsAbout({ routes }), [`routes[0].${name}: has a meaning beside forwardTo only`]);
    }
  });
});
