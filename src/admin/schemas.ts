/**
 * JSON Schemas (2020-12, as OpenAPI 3.1 has them) of what the admin API takes and answers. They name what can be relied
 * upon; answers may have more.
 */

export type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: "string" };
const whole: Schema = { type: "integer" };
const figure: Schema = { type: "number" };
const flag: Schema = { type: "boolean" };

function orNull(type: string): Schema {
  return { type: [type, "null"] };
}

function list(items: Schema): Schema {
  return { type: "array", items };
}

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: "object", properties, required: Object.keys(properties) };
}

function record(additionalProperties: Schema): Schema {
  return { type: "object", additionalProperties };
}

function oneOf(...values: readonly string[]): Schema {
  return { type: "string", enum: values };
}

export const LEVELS: Schema = oneOf("trace", "debug", "info", "warn", "error", "fatal", "silent");

const quantiles = object({ count: whole, p50: figure, p90: figure, p99: figure, p999: figure, max: figure });
const row = object({ counters: record(whole), histograms: record(quantiles) });
const expiry = object({ file: text, notAfter: text, daysLeft: whole });

const target = object({
  number: whole,
  origin: text,
  label: text,
  address: text,
  port: whole,
  state: text,
  open: whole,
  idle: whole,
  inflight: whole,
  waiting: whole,
  latencyMicros: figure,
  succeeded: whole,
  failedTcp: whole,
  failedTls: whole,
  failedSilence: whole,
  failedBroken: whole,
  health: object({
    state: oneOf("up", "down", "suspect", "draining"),
    downForMs: orNull("integer"),
    history: list(object({ at: text, from: text, to: text, reason: text })),
  }),
});

const certificate = object({
  file: text,
  names: list(text),
  issuer: text,
  key: text,
  notAfter: text,
  daysLeft: whole,
  chain: whole,
  trouble: orNull("string"),
});

const cached = object({
  variant: text,
  status: whole,
  ageS: whole,
  ttlS: whole,
  stale: flag,
  hits: whole,
  bytes: whole,
  tags: list(text),
});
const stored = object({ variant: text, tags: list(text), bytes: whole, isFile: flag, softPurgedMs: whole });

/** Schemas with names of their own in the document. */
export const SCHEMAS = {
  Problem: object({ type: text, title: text, status: whole, detail: text }),
  Alive: object({ status: oneOf("alive") }),
  Ready: object({ status: oneOf("ready") }),
  Status: object({
    version: text,
    core: text,
    node: text,
    pid: whole,
    state: oneOf("running", "stopping"),
    whyNotReady: orNull("string"),
    generation: whole,
    startedAt: text,
    uptimeMs: whole,
    listeners: list(object({ name: text, address: text, port: whole })),
    workers: list(object({ worker: whole, ready: flag, generation: whole })),
    lastReload: orNull("object"),
    workersReplaced: whole,
    logLevel: LEVELS,
  }),
  Stats: object({
    uptimeMs: whole,
    all: row,
    workers: list(row),
    acceptor: row,
    workersReplaced: whole,
    accessLogLostLines: whole,
    certificates: list(expiry),
  }),
  Origins: object({
    origins: list(object({ name: text, unresolved: orNull("string"), policy: record({}), targets: list(target) })),
    names: list(object({ name: text, addresses: list(text), fault: orNull("string") })),
  }),
  Certificates: object({
    listeners: list(object({ listener: text, address: text, versions: list(text), certificates: list(certificate) })),
    origins: list(object({ origin: text, certificate })),
  }),
  Connections: object({
    workers: list(object({ worker: whole, clients: list({}), origins: list({}) })),
    silent: list(whole),
  }),
  ExplainRequest: {
    type: "object",
    properties: {
      url: text,
      method: text,
      headers: { anyOf: [record(text), list({ type: "array", prefixItems: [text, text], minItems: 2, maxItems: 2 })] },
      clientAddress: text,
    },
    required: ["url"],
    additionalProperties: false,
  },
  Explanation: object({
    route: orNull("string"),
    action: oneOf("forward", "answer", "redirect", "none", "refuse"),
    curl: orNull("string"),
  }),
  Drained: object({
    origin: text,
    target: text,
    state: oneOf("draining", "undrained"),
    concerned: whole,
    changed: whole,
  }),
  PurgeRequest: {
    type: "object",
    properties: { url: text, prefix: text, tag: text, everything: { const: true }, soft: flag },
    additionalProperties: false,
  },
  Purged: object({ scope: oneOf("url", "prefix", "tag", "everything"), soft: flag, keys: list(text) }),
  CacheEntries: object({ url: text, entries: list(object({ key: text, memory: list(cached), store: list(stored) })) }),
  CacheTop: object({ targets: list(object({ target: text, hits: whole, bytes: whole })) }),
  CacheStore: object({ store: orNull("object") }),
  Upgraded: object({ pid: whole }),
  Reload: object({
    result: oneOf("applied", "unchanged"),
    generation: whole,
    warnings: list(object({ path: text, says: text })),
  }),
  LogLevel: { ...object({ level: LEVELS }), additionalProperties: false },
  Profile: object({
    nodes: list({}),
    startTime: figure,
    endTime: figure,
    samples: list(whole),
    timeDeltas: list(figure),
  }),
} as const satisfies Readonly<Record<string, Schema>>;

export type SchemaName = keyof typeof SCHEMAS;
