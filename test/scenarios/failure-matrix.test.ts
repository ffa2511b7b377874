/**
 * The failure matrix, row by row: how an attempt fails × on a reused or a fresh connection × method × body. Each case
 * says what the client sees, how often the origin got the request, and that exactly one failure event was made of it.
 */
import { strict as assert } from "node:assert";
import { reply } from "../support/behaviours.js";
import { BODIES, type BodySize, CALLS, type Call, Ledger, lineOf, perform, REPLAY_BYTES } from "../support/failures.js";
import type { Handler } from "../support/origin.js";
import { type Scene, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** What a failure means for repeating, in the words of the matrix. */
type Kind =
  /** The connection ended before a byte of an answer. */
  | "gone"
  /** Nothing came, or nothing usable: the request may have been executed. */
  | "doubtful"
  /** An answer whose status the route counts as a failure. */
  | "status"
  /** The answer broke after its head: the client has seen it. */
  | "cut";

interface Event {
  readonly name: string;
  readonly kind: Kind;
  readonly fault: string;
  readonly phase: string;
  readonly status: number;
  readonly act: Handler;
}

const head = "HTTP/1.1 200 OK\r\n";

/** Sends the beginning of an answer so that it is seen apart from what follows. */
const begin =
  (bytes: string, then: "close" | "reset" | "stay"): Handler =>
  async (_, connection) => {
    await connection.send(bytes);
    await pause(15);
    if (then === "close") await connection.close();
    else if (then === "reset") await connection.reset();
  };

const EVENTS: readonly Event[] = [
  {
    name: "EOF before headers",
    kind: "gone",
    fault: "eof_before_headers",
    phase: "awaiting_head",
    status: 502,
    act: (_, connection) => connection.close(),
  },
  {
    name: "reset before headers",
    kind: "gone",
    fault: "reset_before_headers",
    phase: "awaiting_head",
    status: 502,
    act: (_, connection) => connection.reset(),
  },
  {
    name: "a partial head, then EOF",
    kind: "doubtful",
    fault: "malformed_headers",
    phase: "awaiting_head",
    status: 502,
    act: begin("HTTP/1.1 200 OK\r\nContent-Le", "close"),
  },
  {
    name: "a partial head, then a reset",
    kind: "doubtful",
    fault: "malformed_headers",
    phase: "awaiting_head",
    status: 502,
    act: begin("HTTP/1.1 200 OK\r\nContent-Le", "reset"),
  },
  {
    name: "malformed headers",
    kind: "doubtful",
    fault: "malformed_headers",
    phase: "awaiting_head",
    status: 502,
    act: begin("nonsense\r\n\r\n", "stay"),
  },
  {
    name: "header timeout",
    kind: "doubtful",
    fault: "header_timeout",
    phase: "awaiting_head",
    status: 504,
    act: () => undefined,
  },
  {
    name: "a listed status",
    kind: "status",
    fault: "status",
    phase: "awaiting_head",
    status: 503,
    act: (asked, connection) => connection.send(reply(503, asked.method === "HEAD" ? "" : "busy")),
  },
  {
    name: "a short body with a length",
    kind: "cut",
    fault: "body_truncated",
    phase: "body",
    status: 200,
    act: begin(`${head}Content-Length: 10\r\n\r\nhello`, "close"),
  },
  {
    name: "a reset in a chunked body",
    kind: "cut",
    fault: "body_truncated",
    phase: "body",
    status: 200,
    act: begin(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, "reset"),
  },
  {
    name: "a bad chunk",
    kind: "cut",
    fault: "body_malformed",
    phase: "body",
    status: 200,
    act: async (_, connection) => {
      await connection.send(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`);
      await pause(15);
      await connection.send("zz\r\n");
    },
  },
  {
    name: "a body that stops",
    kind: "cut",
    fault: "body_timeout",
    phase: "body",
    status: 200,
    act: begin(`${head}Content-Length: 10\r\n\r\nhello`, "stay"),
  },
];

/** What the matrix asks for. */
interface Required {
  readonly again: "no" | "same target, fresh connection" | "next target";
  readonly notRepeated?: string;
}

function required(kind: Kind, reused: boolean, call: Call, body: BodySize): Required {
  if (kind === "cut") return { again: "no", notRepeated: "answer_begun" };
  const stale = kind === "gone" && reused;
  const harmless = call.safe || call.keyed || (call.idempotent && (stale || kind === "status"));
  if (!harmless) return { again: "no", notRepeated: "method_not_repeatable" };
  if (BODIES[body] > REPLAY_BYTES) return { again: "no", notRepeated: "body_not_held" };
  return { again: stale ? "same target, fresh connection" : "next target" };
}

/** Both targets have an idle connection on which nothing has failed. */
async function warm(scene: Scene, ledger: Ledger): Promise<void> {
  const client = await scene.client();
  const cold = () => Object.values(scene.origins).some((origin) => ledger.sound(origin) === 0);
  for (let n = 0; n < 8 && cold(); n += 1) await client.ask("GET /warm");
  assert.ok(!cold(), "both targets are warm");
  await client.close();
}

async function judge(scene: Scene, ledger: Ledger, event: Event, reused: boolean, call: Call, body: BodySize) {
  const path = `/case/${call.method}${call.keyed ? "-keyed" : ""}/${body}`;
  const before = (await scene.proxy.stats()).all.counters;
  const client = await scene.client();
  const answer = await perform(client, call, path, body);
  const line = await lineOf(scene, path);
  const after = (await scene.proxy.stats()).all.counters;
  const sights = ledger.of(path);
  const [first, second] = sights;
  assert.equal(first?.reused, reused, `${path}: the first attempt is on the intended kind of connection`);
  for (const sight of sights) assert.equal(sight.bodyBytes, BODIES[body], `${path}: the whole body each time`);
  // A HEAD has no body that could be cut: such an answer is a good one.
  if (event.kind === "cut" && call.method === "HEAD") {
    assert.equal(answer.status, 200, path);
    assert.equal(sights.length, 1, path);
    assert.equal(line["failures"], undefined, path);
    return;
  }
  const { again, notRepeated } = required(event.kind, reused, call, body);
  assert.equal(sights.length, again === "no" ? 1 : 2, `${path}: how often the origin got it`);
  assert.equal(answer.status, again === "no" ? event.status : 200, `${path}: what the client sees`);
  assert.equal(answer.complete, event.kind !== "cut", `${path}: whether its answer is whole`);
  assert.equal(after.origin_failures - before.origin_failures, 1, `${path}: one failure event`);
  const ofClass = `origin_fault_${event.fault}` as keyof typeof after;
  assert.equal(after[ofClass] - before[ofClass], 1, `${path}: of its class`);
  const repeats = again === "same target, fresh connection" ? 1 : 0;
  assert.equal(after.origin_repeats - before.origin_repeats, repeats, `${path}: repeats`);
  const moves = again === "next target" ? 1 : 0;
  assert.equal(after.origin_next_targets - before.origin_next_targets, moves, `${path}: next targets`);
  if (second !== undefined) {
    assert.equal(second.origin === first?.origin, repeats === 1, `${path}: who got the second attempt`);
    if (repeats === 1) assert.equal(second.reused, false, `${path}: the repeat is on a fresh connection`);
  }
  assert.deepEqual(
    [line["fault"], line["phase"], line["failures"], line["not_repeated"], line["attempts"], line["status"]],
    [event.fault, event.phase, 1, notRepeated, sights.length, answer.status],
    `${path}: the line says ${JSON.stringify(line)}`,
  );
  await client.close();
}

for (const event of EVENTS) {
  for (const reused of [false, true]) {
    const ledger = new Ledger();
    const ids =
      event.kind === "status" ? "S2-01 S2-12" : event.kind === "cut" ? "S2-01 S4-03" : "S2-01 S2-02 S4-09 S4-10";
    scenario(
      `${ids} failure matrix: ${event.name} on a ${reused ? "reused" : "fresh"} connection, every method and body`,
      {
        accessLog: true,
        origins: { one: ledger.firstFails(event.act), two: ledger.firstFails(event.act) },
        settings: (origins) => ({
          limits: { replayBodyBytes: REPLAY_BYTES },
          retryBudget: { perSecond: 1_000 },
          origins: {
            both: {
              targets: [origins["one"]?.url ?? "", origins["two"]?.url ?? ""],
              idleMs: reused ? 30_000 : 0,
              firstByteMs: event.fault === "header_timeout" ? 250 : 10_000,
              betweenBytesMs: event.fault === "body_timeout" ? 250 : 10_000,
              health: { passive: { level: 0 } },
            },
          },
          routes: [
            {
              forwardTo: "both",
              unrepeatable: "reuse",
              retry: { statuses: event.kind === "status" ? [503] : [], backoffMs: 0 },
            },
          ],
        }),
      },
      async (scene) => {
        for (const call of CALLS) {
          for (const body of Object.keys(BODIES) as BodySize[]) {
            if (reused) await warm(scene, ledger);
            await judge(scene, ledger, event, reused, call, body);
          }
        }
      },
    );
  }
}
