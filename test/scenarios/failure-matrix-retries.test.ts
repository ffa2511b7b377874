/** How often, how soon and how long a failed request is tried again: every bound on further attempts, on the wire. */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { lineOf } from "../support/failures.js";
import { takes, timed } from "../support/lateness.js";
import type { Script } from "../support/origin.js";
import { type Scene, type SceneOptions, type SettingsOverlay, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

type RouteRetry = NonNullable<NonNullable<SettingsOverlay["routes"]>[number]>["retry"];
type OriginTimes = { readonly firstByteMs?: number; readonly totalMs?: number; readonly connectMs?: number };

/** One origin with a target for each script, a route that forwards to it, and health that never interferes. */
function targets(scripts: readonly Script[], retry: RouteRetry, times: OriginTimes = {}): SceneOptions {
  return {
    accessLog: true,
    origins: Object.fromEntries(scripts.map((script, n) => [`t${n}`, script])),
    settings: (origins) => ({
      origins: {
        all: { targets: Object.values(origins).map(({ url }) => url), health: { passive: { level: 0 } }, ...times },
      },
      routes: [{ forwardTo: "all", ...(retry === undefined ? {} : { retry }) }],
    }),
  };
}

/** When each request arrived, over all targets. */
class Arrivals {
  readonly atMs: number[] = [];

  /** Notes each arrival and does with it what the list says; the last entry holds for all that follow. */
  script(...acts: readonly (Buffer | "silence" | "close")[]): Script {
    return serve(async (_, connection) => {
      const act = acts[Math.min(this.atMs.length, acts.length - 1)];
      this.atMs.push(performance.now());
      if (act === "close") await connection.close();
      else if (act instanceof Buffer) await connection.send(act);
    });
  }

  get gapsMs(): number[] {
    return this.atMs.slice(1).map((at, n) => at - (this.atMs[n] ?? 0));
  }
}

/** Sends one GET, whose answer must take this long, and reads it; the status. */
async function asks(scene: Scene, leastMs: number, mostMs: number, path = "/a"): Promise<number> {
  const client = await scene.client();
  return (await takes(leastMs, mostMs, () => client.ask(`GET ${path}`))).status;
}

/** How much later than planned this machine may do something; milliseconds. */
const SLACK_MS = 1_500;

for (const attempts of [1, 2, 3, 4]) {
  const arrivals = new Arrivals();
  const script = arrivals.script("close");
  scenario(
    `S2-15 retry.attempts ${attempts} is the number of attempts in all`,
    targets([script, script, script, script, script], attempts === 1 ? false : { attempts, backoffMs: 0 }),
    async (scene) => {
      assert.equal(await asks(scene, 0, Number.POSITIVE_INFINITY), 502);
      assert.equal(arrivals.atMs.length, attempts);
      const line = await lineOf(scene, "/a");
      assert.deepEqual(
        [line["attempts"], line["failures"], line["not_repeated"]],
        [attempts, attempts, "attempts_spent"],
      );
      assert.equal(await scene.counter("origin_failures"), attempts);
      const got = Object.values(scene.origins).map((origin) => origin.requests.length);
      assert.ok(Math.max(...got) === 1, `no target is tried twice while there are others: ${got.join()}`);
    },
  );
}

{
  const script = serve((asked, connection) => connection.send(reply(Number(asked.target.slice(1)), "said so")));
  scenario(
    "S2-12 only the statuses of the list are tried elsewhere",
    targets([script, script], { statuses: [502, "503-504", 429], backoffMs: 0, attempts: 2 }),
    async (scene) => {
      let failures = 0;
      for (const [status, listed] of [
        [429, true],
        [500, false],
        [501, false],
        [502, true],
        [503, true],
        [504, true],
        [505, false],
        [404, false],
      ] as const) {
        const got = () => Object.values(scene.origins).reduce((sum, origin) => sum + origin.requests.length, 0);
        const before = got();
        const client = await scene.client();
        const answer = await client.ask(`GET /${status}`);
        assert.deepEqual([answer.status, answer.body.toString()], [status, "said so"], "the last answer is passed on");
        assert.equal(got() - before, listed ? 2 : 1, `${status}`);
        failures += listed ? 2 : 0;
        assert.equal(await scene.counter("origin_failures"), failures);
      }
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "Retry-After is waited for when all targets were tried",
    targets([arrivals.script(reply(503, "", "Retry-After: 1"), reply(200, "ok"))], { statuses: [503], backoffMs: 0 }),
    async (scene) => {
      assert.equal(await asks(scene, 990, 1_000 + SLACK_MS), 200);
      assert.equal(arrivals.atMs.length, 2);
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "S2-15 Retry-After beyond the total time is not waited for: the answer is passed on at once",
    targets(
      [arrivals.script(reply(503, "busy", "Retry-After: 60"), reply(200, "ok"))],
      { statuses: [503], backoffMs: 0 },
      { totalMs: 30_000 },
    ),
    async (scene) => {
      assert.equal(await asks(scene, 0, SLACK_MS), 503);
      assert.equal(arrivals.atMs.length, 1);
      assert.equal((await lineOf(scene, "/a"))["not_repeated"], "too_late");
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "without a total time Retry-After is waited for no longer than an answer's first byte",
    targets(
      [arrivals.script(reply(503, "busy", "Retry-After: 3600"), reply(200, "ok"))],
      { statuses: [503], backoffMs: 0 },
      { firstByteMs: 30_000 },
    ),
    async (scene) => {
      assert.equal(await asks(scene, 0, SLACK_MS), 503);
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "retryAfter false ignores Retry-After",
    targets([arrivals.script(reply(503, "", "Retry-After: 30"), reply(200, "ok"))], {
      statuses: [503],
      backoffMs: 0,
      retryAfter: false,
    }),
    async (scene) => {
      assert.equal(await asks(scene, 0, SLACK_MS), 200);
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "waits before another attempt at the same target double up to backoffMaxMs, with jitter",
    targets([arrivals.script(reply(503))], { statuses: [503], attempts: 4, backoffMs: 100, backoffMaxMs: 200 }),
    async (scene) => {
      const gaps: number[] = [];
      for (let n = 0; n < 8; n += 1) {
        arrivals.atMs.length = 0;
        const client = await scene.client();
        const { result, excusedMs } = await timed(() => client.ask(`GET /${n}`));
        assert.equal(result.status, 503);
        assert.equal(arrivals.atMs.length, 4);
        const bounds = [100, 200, 200];
        for (const [place, gap] of arrivals.gapsMs.entries())
          assert.ok(gap < (bounds[place] ?? 0) + SLACK_MS + excusedMs, `wait ${place} took ${gap} ms`);
        gaps.push(...arrivals.gapsMs);
      }
      const meanMs = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
      assert.ok(meanMs > 25, `on average ${meanMs} ms: there are waits`);
      gaps.sort((a, b) => a - b);
      assert.ok((gaps[gaps.length >> 1] ?? 0) < 200, "as a rule within their bounds");
      assert.ok(Math.max(...gaps) - Math.min(...gaps) > 20, "and they differ");
    },
  );
}

{
  const arrivals = new Arrivals();
  const script = arrivals.script("silence", reply(200, "ok"));
  scenario(
    "perTryMs bounds one attempt, below firstByteMs",
    targets([script, script], { perTryMs: 400 }, { firstByteMs: 10_000 }),
    async (scene) => {
      assert.equal(await asks(scene, 390, 400 + SLACK_MS), 200);
      const line = await lineOf(scene, "/a");
      assert.deepEqual([line["fault"], line["failures"], line["attempts"]], ["header_timeout", 1, 2]);
    },
  );
}

{
  const arrivals = new Arrivals();
  const script = arrivals.script("silence");
  scenario(
    "S2-15 totalMs holds over all attempts",
    targets([script, script, script, script, script, script], { attempts: 16 }, { firstByteMs: 100, totalMs: 250 }),
    async (scene) => {
      assert.equal(await asks(scene, 240, 250 + SLACK_MS), 504);
      assert.ok(arrivals.atMs.length <= 3, `${arrivals.atMs.length} attempts`);
      const line = await lineOf(scene, "/a");
      // On a slow machine an attempt's own time may be noticed together with that of all of them.
      assert.match(String(line["fault"]), /^(total|header)_timeout$/);
      assert.equal(line["not_repeated"], "too_late");
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "S2-15 totalMs holds over the waits between attempts",
    targets(
      [arrivals.script(reply(503))],
      { statuses: [503], attempts: 16, backoffMs: 60_000, backoffMaxMs: 60_000 },
      { totalMs: 300 },
    ),
    async (scene) => {
      assert.equal(await asks(scene, 290, 300 + SLACK_MS), 504);
      assert.equal((await lineOf(scene, "/a"))["fault"], "total_timeout");
    },
  );
}

{
  const arrivals = new Arrivals();
  const script = arrivals.script("silence");
  scenario(
    "S2-15 a client that is gone gets no further attempt",
    targets([script, script, script], undefined, { firstByteMs: 150 }),
    async (scene) => {
      const client = await scene.client();
      await client.send(request("GET /a"));
      await pause(60);
      await client.reset();
      const line = await lineOf(scene, "/a");
      assert.deepEqual([line["fault"], line["whose"]], ["client_gone", "client"]);
      await pause(350);
      assert.equal(arrivals.atMs.length, 1);
      assert.equal(await scene.counter("origin_failures"), 0, "nobody failed");
    },
  );
}

{
  const arrivals = new Arrivals();
  scenario(
    "S2-15 a client that leaves while the next attempt waits its time gets none",
    targets([arrivals.script(reply(503, "", "Retry-After: 1"))], { statuses: [503] }),
    async (scene) => {
      const client = await scene.client();
      await client.send(request("GET /a"));
      await scene.sees("origin_failures", 1);
      await client.reset();
      await pause(1_300);
      assert.equal(arrivals.atMs.length, 1);
      assert.equal((await lineOf(scene, "/a"))["fault"], "client_gone");
    },
  );
}
