/**
 * How series are written: the Prometheus text format 0.0.4 and OpenMetrics 1.0. Knows nothing of what they mean.
 */

/** The two formats. They differ in the names of counters' families, in units, and in the end. */
export type Format = "prometheus" | "openmetrics";

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

export type Labels = Readonly<Record<string, string>>;

/** One value of a family. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** The distribution of one histogram: values up to and with each bound, the last being infinity. */
export interface Distribution {
  readonly labels: Labels;
  readonly upTo: readonly { readonly bound: number; readonly count: number }[];
  readonly sum: number;
}

interface Named {
  /** As OpenMetrics calls the family: without `_total`, `_info`, `_bucket`. */
  readonly name: string;
  readonly help: string;
  readonly unit?: string;
}

/** All values of one name. */
export type Family =
  | (Named & { readonly type: "counter" | "gauge" | "info"; readonly samples: readonly Sample[] })
  | (Named & { readonly type: "histogram"; readonly distributions: readonly Distribution[] });

/** The whole page; families without a value are left out. */
export function writeFamilies(families: readonly Family[], format: Format): string {
  const written = families.flatMap((family) => writeFamily(family, format));
  if (format === "openmetrics") written.push("# EOF");
  return `${written.join("\n")}\n`;
}

function writeFamily(family: Family, format: Format): string[] {
  const lines = linesOf(family);
  if (lines.length === 0) return [];
  const { type, name, unit, help } = family;
  const isOpen = format === "openmetrics";
  // Prometheus knows no info, and calls a family what its lines are called.
  const title = isOpen || type === "histogram" ? name : sampleName(family);
  return [
    `# HELP ${title} ${isOpen ? escapeValue(help) : escapeHelp(help)}`,
    `# TYPE ${title} ${type === "info" && !isOpen ? "gauge" : type}`,
    ...(isOpen && unit !== undefined ? [`# UNIT ${title} ${unit}`] : []),
    ...lines,
  ];
}

function linesOf(family: Family): string[] {
  if (family.type === "histogram") return family.distributions.flatMap((one) => distributionLines(family.name, one));
  const name = sampleName(family);
  return family.samples.map(({ labels, value }) => line(name, labels, value));
}

function sampleName({ type, name }: Family): string {
  switch (type) {
    case "counter":
      return `${name}_total`;
    case "info":
      return `${name}_info`;
    case "gauge":
    case "histogram":
      return name;
  }
}

function distributionLines(name: string, { labels, upTo, sum }: Distribution): string[] {
  const count = upTo.at(-1)?.count ?? 0;
  return [
    ...upTo.map(({ bound, count: below }) => line(`${name}_bucket`, { ...labels, le: boundText(bound) }, below)),
    line(`${name}_sum`, labels, sum),
    line(`${name}_count`, labels, count),
  ];
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeValue(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${numberText(value)}`;
}

/** In values of labels, and in the HELP of OpenMetrics. */
export function escapeValue(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}

/** In the HELP of Prometheus, where a quotation mark is like any other. */
export function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  // What was scaled carries the dust of binary fractions; no value here has more than 12 digits that mean anything.
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(12)));
}

/** OpenMetrics asks for a fraction, so that a bound is the same label in both formats. */
function boundText(bound: number): string {
  const text = numberText(bound);
  return /^\d+$/.test(text) ? `${text}.0` : text;
}

/** The format that an Accept field asks for; Prometheus text for whoever asks for nothing we have. */
export function chooseFormat(accept: string | undefined): Format {
  const weigh = (range: string): { readonly type: string; readonly weight: number } => {
    const [type = "", ...parameters] = range.split(";").map((one) => one.trim().toLowerCase());
    const named = (name: string) => parameters.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
    const isOurs = ["0.0.1", "1.0.0", undefined].includes(named("version")) || type !== "application/openmetrics-text";
    const weight = Number(named("q") ?? 1);
    return { type, weight: isOurs && weight >= 0 && weight <= 1 ? weight : 0 };
  };
  const ranges = (accept ?? "").split(",").map(weigh);
  const best = (...types: readonly string[]) =>
    Math.max(0, ...ranges.filter(({ type }) => types.includes(type)).map(({ weight }) => weight));
  const open = best("application/openmetrics-text");
  return open > 0 && open >= best("text/plain", "text/*", "*/*") ? "openmetrics" : "prometheus";
}
