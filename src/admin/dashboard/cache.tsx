/**
 * The panel of the cache: what comes out of it, what is asked for most, and a form that purges, after a question.
 */
import { useState } from "preact/hooks";
import type { CacheTop } from "../../control/cache.js";
import type { CacheModel } from "../../control/model.js";
import { percent, short } from "../../shared/figures.js";
import { Panel } from "./panel.jsx";
import type { Scope } from "./stream.js";
import { RateTable } from "./traffic.jsx";

const OUTCOMES: Readonly<Record<string, string>> = {
  hits: "fresh, from the cache",
  stale: "stale, from the cache",
  coalesced: "shared with another request",
  revalidated: "from the cache, still right",
  misses: "not there",
  bypassed: "passed by",
};

interface CacheProps {
  readonly cache: CacheModel;
  readonly top: readonly CacheTop[];
  readonly handlePurge: (scope: Scope, name: string) => void;
}

export function Cache({ cache, top, handlePurge }: CacheProps) {
  const { hitShare, outcomes, stored, evicted, bytesServed, entries, bytes } = cache;
  const rows = outcomes.map(({ name, perSecond }) => ({ name: OUTCOMES[name] ?? name, perSecond }));
  const total = rows.reduce((sum, { perSecond }) => sum + perSecond, 0);
  const facts: readonly (readonly [string, string])[] = [
    ["Out of the cache", percent(hitShare)],
    ["Answers held", short(Math.max(0, entries))],
    ["They weigh", `${short(Math.max(0, bytes))}B`],
    ["Given out", `${short(bytesServed)}B/s`],
    ["Stored/s", short(stored)],
    ["Pushed out/s", short(evicted)],
  ];
  return (
    <Panel id="cache" title="Cache" isWide>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <RateTable rows={rows} total={total} heading="Requests on caching routes" />
      {top.length > 0 && <Top top={top} />}
      <Purge handlePurge={handlePurge} />
    </Panel>
  );
}

function Top({ top }: { readonly top: readonly CacheTop[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Most asked for</th>
          <th scope="col">Hits</th>
          <th scope="col">Weight</th>
        </tr>
      </thead>
      <tbody>
        {top.map(({ target, hits, bytes }) => (
          <tr key={target}>
            <th scope="row">{target}</th>
            <td>{short(hits)}</td>
            <td>{short(bytes)}B</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const SCOPES: readonly (readonly [Scope, string])[] = [
  ["url", "a URL"],
  ["prefix", "all that begins with"],
  ["tag", "a tag"],
  ["everything", "everything"],
];

function Purge({ handlePurge }: Pick<CacheProps, "handlePurge">) {
  const [scope, setScope] = useState<Scope>("url");
  const [name, setName] = useState("");
  const isAll = scope === "everything";
  const submit = (event: Event) => {
    event.preventDefault();
    if (isAll || name.trim() !== "") handlePurge(scope, name.trim());
  };
  return (
    <form class="purge" onSubmit={submit}>
      <label for="purge-scope">Purge</label>
      <select id="purge-scope" value={scope} onChange={(event) => setScope(event.currentTarget.value as Scope)}>
        {SCOPES.map(([one, says]) => (
          <option key={one} value={one}>
            {says}
          </option>
        ))}
      </select>
      {!isAll && (
        <input
          aria-label="What to purge"
          placeholder={scope === "tag" ? "tag" : "https://…"}
          required
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      )}
      <button type="submit">Purge …</button>
    </form>
  );
}
