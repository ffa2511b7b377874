/**
 * The panels of what goes through the proxy: requests and errors, how long they take, who does the work, how connections
 * are reused, what goes wrong.
 */
import { useMemo } from "preact/hooks";
import type { LiveRoute, Point } from "../../control/live-frames.js";
import type { Model, Named, WorkerLine } from "../../control/model.js";
import { milliseconds, percent, short } from "../../shared/figures.js";
import { Chart } from "./chart.jsx";
import { HeatMap } from "./heat-map.jsx";
import { AsTable, Bar, Panel } from "./panel.jsx";
import { timeOf, type View } from "./store.js";

/** Seconds that the tables beside charts tell. */
const TOLD = 10;

export function Figures({ view: { model, points } }: { readonly view: View }) {
  const { client, origin } = model;
  const p99 = points.at(-1)?.p99 ?? null;
  const all: readonly (readonly [string, string])[] = [
    ["Requests/s", short(client.requests)],
    ["5xx answers", percent(client.errorShare)],
    ["99 % within", p99 === null ? "-" : milliseconds(p99)],
    ["Under way", short(client.exchangesOpen)],
    ["Clients", short(client.connectionsOpen)],
    ["To origins", short(origin.connectionsOpen)],
    ["Reused", percent(origin.reuseShare)],
    ["Sent", `${short(client.bytesSent)}B/s`],
  ];
  return (
    <dl class="figures">
      {all.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function lastOf(points: readonly Point[], cells: (point: Point) => readonly string[]) {
  return points
    .slice(-TOLD)
    .reverse()
    .map((point) => [timeOf(point.atMs), ...cells(point)]);
}

export function Traffic({ points }: { readonly points: readonly Point[] }) {
  const times = useMemo(() => points.map(({ atMs }) => Math.round(atMs / 1000)), [points]);
  const requests = useMemo(
    () => [{ name: "requests/s", colour: "accent", values: points.map((one) => one.requests) }],
    [points],
  );
  const errors = useMemo(
    () => [
      { name: "4xx/s", colour: "warn", values: points.map((one) => one.failed4xx) },
      { name: "5xx/s", colour: "bad", values: points.map((one) => one.failed5xx) },
    ],
    [points],
  );
  const now = points.at(-1);
  const says = now === undefined ? "no sample yet" : `${short(now.requests)} a second now`;
  const errs = now === undefined ? "no sample yet" : `${short(now.failed4xx)} 4xx and ${short(now.failed5xx)} 5xx now`;
  return (
    <Panel id="traffic" title="Requests and errors">
      <Chart label={`Requests a second, last three minutes: ${says}`} times={times} lines={requests} height={120} />
      <Chart label={`Errors a second, last three minutes: ${errs}`} times={times} lines={errors} height={90} />
      <AsTable
        title="Requests and errors"
        headings={["Time", "Requests/s", "4xx/s", "5xx/s"]}
        rows={() => lastOf(points, (one) => [one.requests, one.failed4xx, one.failed5xx].map(short))}
      />
    </Panel>
  );
}

interface LatencyProps {
  readonly points: readonly Point[];
  readonly subBits: number;
}

export function Latency({ points, subBits }: LatencyProps) {
  const now = points.at(-1);
  const figure = (ms: number | null | undefined) => (ms === null || ms === undefined ? "-" : milliseconds(ms));
  const label = `Heat map of how long exchanges took, last three minutes; now half within ${figure(now?.p50)}, 99 of 100 within ${figure(now?.p99)}`;
  return (
    <Panel id="latency" title="Latency">
      <HeatMap points={points} subBits={subBits} label={label} />
      <p class="keys" aria-hidden="true">
        <span class="key accent">exchanges (fuller: more)</span>
        <span class="key warn">p99 {figure(now?.p99)}</span>
        <span class="key">p50 {figure(now?.p50)}</span>
      </p>
      <AsTable
        title="Latency"
        headings={["Time", "p50", "p99"]}
        rows={() => lastOf(points, ({ p50, p99 }) => [figure(p50), figure(p99)])}
      />
    </Panel>
  );
}

export function Workers({ workers }: { readonly workers: readonly WorkerLine[] }) {
  const most = Math.max(1, ...workers.map(({ requests }) => requests));
  return (
    <Panel id="workers" title="Workers">
      <table>
        <thead>
          <tr>
            <th scope="col">Worker</th>
            <th scope="col">Requests/s</th>
            <th scope="col">Clients</th>
            <th scope="col">Busy</th>
            <th scope="col" class="roomy">
              Turn p99
            </th>
            <th scope="col" class="roomy">
              Stolen/s
            </th>
          </tr>
        </thead>
        <tbody>
          {workers.map((one) => (
            <tr key={one.worker}>
              <th scope="row">
                {one.worker}
                {one.ready ? "" : " (missing)"}
              </th>
              <td>
                {short(one.requests)} <Bar share={one.requests / most} />
              </td>
              <td>{short(Math.max(0, one.clientsOpen))}</td>
              <td>
                {percent(one.busyShare)} <Bar share={one.busyShare} />
              </td>
              <td class="roomy">{milliseconds(one.turnP99Ms)}</td>
              <td class="roomy">{short(one.stolen)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

export function Routes({ routes }: { readonly routes: readonly LiveRoute[] }) {
  const most = Math.max(1, ...routes.map(({ requests }) => requests));
  return (
    <Panel id="routes" title="Routes">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      {/* biome-ignore lint/a11y/useSemanticElements: a group of one table is no fieldset */}
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="routes-title">
        <table>
          <thead>
            <tr>
              <th scope="col">Route</th>
              <th scope="col">Requests/s</th>
              <th scope="col">5xx/s</th>
              <th scope="col">Mean time</th>
            </tr>
          </thead>
          <tbody>
            {routes.map(({ route, requests, failed5xx, meanMs }) => (
              <tr key={route}>
                <th scope="row">{route}</th>
                <td>
                  {short(requests)} <Bar share={requests / most} />
                </td>
                <td class={failed5xx > 0 ? "bad" : ""}>{short(failed5xx)}</td>
                <td>{meanMs === null ? "-" : milliseconds(meanMs)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

const REASONS: Readonly<Record<string, string>> = {
  no_idle: "new: none was idle",
  stale: "new: the idle one was dead",
  repeat: "new: for a repeated request",
  policy: "new: by policy",
  standby: "new: kept ready",
  not_shared: "new: not to be shared",
};

export function Reuse({ origin }: { readonly origin: Model["origin"] }) {
  const { requests, reuseShare, notReused } = origin;
  const reused = { name: "reused", perSecond: requests * (reuseShare ?? 0) };
  const rows = [reused, ...notReused].map(({ name, perSecond }) => ({ name: REASONS[name] ?? name, perSecond }));
  return (
    <Panel id="reuse" title="Reuse of origin connections">
      <RateTable rows={rows} total={requests} heading="Connection" />
    </Panel>
  );
}

/** Faults and closed connections, by reason. */
export function Trouble({ model: { client, origin } }: { readonly model: Model }) {
  const rows = [
    ...client.faults.map((one) => ({ ...one, name: `client: ${one.name}` })),
    ...origin.faults.map((one) => ({ ...one, name: `origin: ${one.name}` })),
    { name: "retried", perSecond: origin.retried },
    { name: "escalated", perSecond: origin.escalated },
  ].map(({ name, perSecond }) => ({ name: name.replaceAll("_", " "), perSecond }));
  const total = Math.max(...rows.map(({ perSecond }) => perSecond));
  return (
    <Panel id="trouble" title="Faults by reason">
      <RateTable rows={rows} total={total} heading="Fault" kind="bad" />
    </Panel>
  );
}

interface RateTableProps {
  readonly rows: readonly Named[];
  readonly total: number;
  readonly heading: string;
  readonly kind?: string;
}

export function RateTable({ rows, total, heading, kind = "plain" }: RateTableProps) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{heading}</th>
          <th scope="col">a second</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, perSecond }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>
              {short(perSecond)} <Bar share={total > 0 ? perSecond / total : 0} kind={kind} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
