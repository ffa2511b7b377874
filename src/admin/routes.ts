/**
 * What the admin API has: one row a path, with what each method does there.
 */
import type { CertificatesReport } from "../control/certificate-report.js";
import type { Connections } from "../control/connections.js";
import type { Explanation } from "../control/curl-command.js";
import type { Drained } from "../control/health.js";
import type { OriginsReport } from "../control/origins.js";
import type { Stats } from "../control/stats.js";
import { type Answer, ok, problem } from "./answers.js";
import { CONTENT_TYPES, chooseFormat, writeFamilies } from "./metrics/exposition.js";
import { familiesOf, type MetricsBounds, type MetricsReading } from "./metrics/families.js";

/** What the admin API shows and moves. Each throws a MillraceError where it cannot. */
export interface AdminSource {
  readonly stats: () => Stats;
  readonly metrics: () => MetricsReading;
  /** Why the proxy is not ready, as a sentence; null when it is. */
  readonly whyNotReady: () => string | null;
  readonly origins: () => OriginsReport;
  readonly connections: () => Promise<Connections>;
  readonly certificates: () => CertificatesReport;
  /** Takes what was sent as it is and judges it. */
  readonly explain: (input: unknown) => Explanation;
  readonly drain: (origin: string, target: string, undo: boolean) => Drained;
}

/** A request whose path and method are known. */
export interface Call {
  readonly source: AdminSource;
  /** The segments that `*` in the pattern stands for. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly body: unknown;
  /** The Accept field. */
  readonly accept: string | undefined;
  readonly metrics: MetricsBounds;
}

type Handle = (call: Call) => Answer | Promise<Answer>;

interface Row {
  /** Segments; `*` stands for any one. */
  readonly path: string;
  readonly GET?: Handle;
  readonly POST?: Handle;
}

const ROWS: readonly Row[] = [
  { path: "/stats", GET: ({ source }) => ok(source.stats()) },
  {
    path: "/metrics",
    GET: ({ source, accept, metrics }) => {
      const format = chooseFormat(accept);
      const body = writeFamilies(familiesOf(source.metrics(), metrics), format);
      return { kind: "text", status: 200, type: CONTENT_TYPES[format], body };
    },
  },
  { path: "/livez", GET: () => ok({ status: "alive" }) },
  {
    path: "/readyz",
    GET: ({ source }) => {
      const why = source.whyNotReady();
      return why === null ? ok({ status: "ready" }) : problem(503, why);
    },
  },
  { path: "/origins", GET: ({ source }) => ok(source.origins()) },
  { path: "/certificates", GET: ({ source }) => ok(source.certificates()) },
  { path: "/connections", GET: async ({ source }) => ok(await source.connections()) },
  {
    path: "/explain",
    GET: ({ source, query }) => explainQuery(source, query),
    POST: ({ source, body }) => ok(source.explain(body)),
  },
  { path: "/targets/*/*/drain", POST: (call) => drain(call, false) },
  { path: "/targets/*/*/undrain", POST: (call) => drain(call, true) },
];

/** What a path and method come to: a handler with the segments it takes, or a refusal. */
export function findHandler(
  method: string,
  path: string,
): { readonly handle: Handle; readonly segments: readonly string[] } | Answer {
  for (const row of ROWS) {
    const segments = matchPath(row.path, path);
    if (segments === null) continue;
    if (segments === "undecodable") return problem(400, "The path has a percent sign that begins no UTF-8.");
    const handle = method === "POST" ? row.POST : method === "GET" || method === "HEAD" ? row.GET : undefined;
    if (handle !== undefined) return { handle, segments };
    const allow = [...(row.GET === undefined ? [] : ["GET", "HEAD"]), ...(row.POST === undefined ? [] : ["POST"])];
    const detail = `${path} answers ${allow.filter((one) => one !== "HEAD").join(" and ")} only.`;
    return { kind: "problem", status: 405, detail, allow: allow.join(", ") };
  }
  const paths = ROWS.map((row) => row.path).join(", ");
  return problem(404, `The admin API has ${paths}.`);
}

function matchPath(pattern: string, path: string): readonly string[] | "undecodable" | null {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  if (wanted.length !== given.length) return null;
  if (!wanted.every((segment, at) => segment === "*" || segment === given[at])) return null;
  try {
    return given.filter((_, at) => wanted[at] === "*").map(decodeURIComponent);
  } catch {
    return "undecodable";
  }
}

/** `?url=…&method=…&header=Name:%20value&client=…`, header as often as need be. */
function explainQuery(source: AdminSource, query: URLSearchParams): Answer {
  const unknown = [...query.keys()].find((key) => !["url", "method", "header", "client"].includes(key));
  if (unknown !== undefined)
    return problem(400, `"${unknown}" is not known; there are url, method, header and client.`);
  const headers = query.getAll("header").map((line) => {
    const at = line.indexOf(":");
    return at < 0 ? [line] : [line.slice(0, at), line.slice(at + 1)];
  });
  const [method, clientAddress] = [query.get("method"), query.get("client")];
  return ok(
    source.explain({
      url: query.get("url") ?? undefined,
      headers,
      ...(method === null ? {} : { method }),
      ...(clientAddress === null ? {} : { clientAddress }),
    }),
  );
}

function drain({ source, segments, body }: Call, undo: boolean): Answer {
  if (body !== undefined) return problem(400, "This call takes no body.");
  const [origin = "", target = ""] = segments;
  const { concerned, changed } = source.drain(origin, target, undo);
  if (concerned === 0) return problem(404, `Origin "${origin}" has no target "${target}"; GET /origins lists them.`);
  if (undo && changed === 0) return problem(409, `Target "${target}" of origin "${origin}" is not drained.`);
  return ok({ origin, target, state: undo ? "undrained" : "draining", concerned, changed });
}
