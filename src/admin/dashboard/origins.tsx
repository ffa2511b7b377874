/**
 * The panels of the origins: what the pool of each target has and needs, and what became of its health.
 */
import type { LiveTarget } from "../../control/live-frames.js";
import { milliseconds, short } from "../../shared/figures.js";
import { AsTable, Panel, State } from "./panel.jsx";
import { keyOf, stretchesOf, timeOf } from "./store.js";
import type { Verb } from "./stream.js";

/** What the timeline shows, in ms. */
const SPAN_MS = 15 * 60_000;

interface OriginsProps {
  readonly targets: readonly LiveTarget[];
  readonly untold: number;
  readonly handleAsk: (verb: Verb, origin: string, target: string) => void;
}

export function Origins({ targets, untold, handleAsk }: OriginsProps) {
  return (
    <Panel id="origins" title="Origin pools" isWide>
      <p class="keys" aria-hidden="true">
        <span class="key used">used</span>
        <span class="key idle">idle</span>
        <span class="key need">needed (most at once in a minute)</span>
      </p>
      {targets.length === 0 && <p class="empty">No origin has a target.</p>}
      <ul class="targets">
        {targets.map((target) => (
          <li key={keyOf(target)}>
            <Target target={target} handleAsk={handleAsk} />
          </li>
        ))}
      </ul>
      {untold > 0 && <p class="empty">{untold} more targets; millrace origins lists them.</p>}
    </Panel>
  );
}

interface TargetProps {
  readonly target: LiveTarget;
  readonly handleAsk: OriginsProps["handleAsk"];
}

function Target({ target, handleAsk }: TargetProps) {
  const { origin, address, state, open, idle, waiting, succeeded, failed, latencyMs, needed } = target;
  const used = Math.max(0, open - idle);
  const verb: Verb = state === "draining" ? "undrain" : "drain";
  const facts: readonly (readonly [string, string])[] = [
    ["Used", short(used)],
    ["Idle", short(idle)],
    ["Needed", short(needed)],
    ["Waiting", short(waiting)],
    ["Good/s", short(succeeded)],
    ["Failed/s", short(failed)],
    ["Latency", latencyMs === null ? "-" : milliseconds(latencyMs)],
  ];
  return (
    <article aria-label={`${origin} ${target.target}`}>
      <header>
        <h3>
          {origin} <span class="place">{target.target}</span>
        </h3>
        <State state={state} />
      </header>
      {target.target !== address && <p class="muted">{address}</p>}
      <Pool used={used} idle={idle} needed={needed} />
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <button
        type="button"
        aria-label={`${verb === "drain" ? "Drain" : "Bring back"} ${address} of ${origin}`}
        onClick={() => handleAsk(verb, origin, address)}
      >
        {verb === "drain" ? "Drain" : "Bring back"}
      </button>
    </article>
  );
}

function Pool({ used, idle, needed }: { readonly used: number; readonly idle: number; readonly needed: number }) {
  const whole = Math.max(1, used + idle, needed);
  const width = (count: number) => ({ width: `${(count / whole) * 100}%` });
  return (
    <div class="pool" aria-hidden="true">
      <span class="used" style={width(used)} />
      <span class="idle" style={width(idle)} />
      <span class="need" style={{ left: `${(needed / whole) * 100}%` }} />
    </div>
  );
}

interface HealthTimelineProps {
  readonly targets: readonly LiveTarget[];
  readonly uptimeMs: number;
}

export function HealthTimeline({ targets, uptimeMs }: HealthTimelineProps) {
  const nowMs = Date.now();
  return (
    <Panel id="health" title="Health, last 15 minutes" isWide>
      <ul class="timelines">
        {targets.map((target) => (
          <li key={keyOf(target)}>
            <span class="name">
              {target.origin} {target.target}
            </span>
            <div class="timeline" aria-hidden="true">
              {stretchesOf(target, nowMs, SPAN_MS, uptimeMs).map(({ state, from, to }) => (
                <span
                  key={`${state} ${from}`}
                  class={state}
                  style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
                />
              ))}
            </div>
            <State state={target.state} />
          </li>
        ))}
      </ul>
      <AsTable
        title="Changes of health"
        headings={["Time", "Target", "Change", "Reason"]}
        rows={() =>
          targets.flatMap((target) =>
            target.history.map(({ at, from, to, reason }) => [
              timeOf(at),
              `${target.origin} ${target.target}`,
              `${from} → ${to}`,
              reason,
            ]),
          )
        }
      />
    </Panel>
  );
}
