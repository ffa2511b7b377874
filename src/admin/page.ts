/**
 * The dashboard as the admin API serves it: its files, which everybody may have who may ask here at all, and the stream it
 * draws, which is for those with the token. The page is built by scripts/build-dashboard.mjs.
 */
import { readFileSync } from "node:fs";
import { type Answer, problem } from "./answers.js";
import type { Call, Operation, Route } from "./routes.js";

/** Nothing but these files of ours: no other host, no inline script or style, in nobody's frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const FIELDS = {
  "Content-Security-Policy": POLICY,
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
} as const;

/** Path, file, type, what it is. */
const FILES = [
  ["/", "index.html", "text/html; charset=utf-8", "The dashboard, a web page."],
  ["/dashboard.js", "main.js", "text/javascript; charset=utf-8", "Its script."],
  ["/dashboard.css", "dashboard.css", "text/css; charset=utf-8", "Its style."],
  ["/icon.svg", "icon.svg", "image/svg+xml", "Its icon."],
] as const;

/** What a browser must get before anybody can type a token: the page without any figure in it. */
export const PAGE_PATHS: readonly string[] = FILES.map(([path]) => path);

const FOLDER = new URL("./dashboard/", import.meta.url);
const STREAM_TYPE = "application/x-ndjson";
const SAMPLES_MAX = 1_000_000;

function pageOf([, file, type, says]: (typeof FILES)[number]): Operation {
  return {
    says,
    handle: ({ asksToken }) => {
      const body = readFileSync(new URL(file, FOLDER), "utf8").replace("TOKEN_IS", asksToken ? "asked" : "none");
      return { kind: "text", status: 200, type, body, fields: FIELDS };
    },
    answer: { says: "The file.", types: [type], schema: null },
    problems: {},
  };
}

/** The paths of the dashboard. */
export const PAGE_ROUTES: readonly Route[] = [
  ...FILES.map((row) => ({ path: row[0], operations: { GET: pageOf(row) } })),
  {
    path: "/live",
    operations: {
      GET: {
        says: "What the dashboard draws: a line of JSON a second, as long as it is read. Not a format to rely upon.",
        handle: watch,
        query: [
          {
            name: "samples",
            says: "Ends after so many lines; else never.",
            schema: { type: "integer", minimum: 1, maximum: SAMPLES_MAX },
          },
        ],
        answer: { says: "The stream.", types: [STREAM_TYPE], schema: null },
        problems: { 409: "The proxy is not in a state for it.", 500: "It failed; detail says how." },
      },
    },
  },
];

function watch({ source, query }: Call): Answer {
  const unknown = [...query.keys()].find((key) => key !== "samples");
  if (unknown !== undefined) return problem(400, `"${unknown}" is not known; there is samples.`);
  const samples = Number(query.get("samples") ?? SAMPLES_MAX);
  if (!(Number.isInteger(samples) && samples >= 1 && samples <= SAMPLES_MAX)) {
    return problem(400, `samples must be 1 to ${SAMPLES_MAX}.`);
  }
  let left = samples;
  const first: string[] = [];
  let take = (line: string) => void first.push(line);
  // Watched from here on, so that a proxy that cannot be watched is still answered with a problem.
  const stop = source.watch((line) => take(line));
  return {
    kind: "stream",
    status: 200,
    type: STREAM_TYPE,
    begin: (write, end) => {
      take = (line) => {
        write(line);
        left -= 1;
        if (left === 0) end();
      };
      for (const line of first) take(line);
    },
    stop,
  };
}
