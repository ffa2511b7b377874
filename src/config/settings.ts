/**
 * The settings: everything an operator may write, each leaf declared once with its unit (in the name), range, default
 * and a sentence. Types, checks, JSON Schema and docs/SETTINGS.md all come from here. Rules between settings are in
 * check.ts; routes, origins and what holds for all connections are declared in the other settings-*.ts.
 */
import { z } from "zod";
import { LOG_LEVELS } from "../shared/log.js";
import { parseAdminPlace, parseListenAddress, parseNetwork } from "./addresses.js";
import { judgeToken, TOKEN_LENGTH_MIN } from "./admin-token.js";
import { isToken } from "./fields.js";
import { bytes, count, flag, milliseconds, text } from "./leaves.js";
import { cacheSchema } from "./settings-cache.js";
import {
  AUTO_OR_WORKERS,
  AUTO_OR_WORKERS_SAYS,
  persistenceSchema,
  poolSchema,
  retryBudgetSchema,
  spoolSchema,
} from "./settings-connections.js";
import { http2Schema, listenerVersions } from "./settings-http2.js";
import { dnsSchema, originSchema, zoneName } from "./settings-origins.js";
import { routeSchema } from "./settings-routes.js";
import { listenerTlsSchema } from "./settings-tls.js";

/** Longest head the core can hold, in bytes; the same bound as its `HEAD_BYTES_CEILING`. */
export const HEAD_BYTES_CEILING = 60 * 1024;

/** Connections the kernel keeps waiting for a listener that says nothing else. */
export const BACKLOG_DEFAULT = 4096;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Largest value of a 32-bit field of the plan. */
const U32_MAX = 0xffff_ffff;

const listenAddress = text(
  "Where to listen: address:port, :port for every IPv4 address, or [IPv6]:port; port 0 takes a free one.",
  (value) => {
    const parsed = parseListenAddress(value);
    return parsed.ok ? null : parsed.says;
  },
);

/** A listener that says more than its address. */
export const listenerSchema = z.strictObject({
  name: z.string().min(1).max(64).optional().describe("Name in logs and messages; else main, listener-2, listener-3 …"),
  address: listenAddress,
  backlog: count({
    min: 1,
    max: 65_535,
    default: BACKLOG_DEFAULT,
    says: "Connections the kernel keeps waiting to be accepted.",
  }),
  tls: z
    .union([z.literal(false), listenerTlsSchema])
    .default(false)
    .describe("TLS to clients, or false."),
  httpVersions: listenerVersions,
  proxyProtocol: flag({
    default: false,
    says: "Whether every connection begins with a PROXY header (version 1 or 2) that says who the client is. Only forwarding.trustedProxies may connect then.",
  }),
});

const limitsSchema = z.strictObject({
  requestLineBytes: bytes({
    min: 64,
    max: HEAD_BYTES_CEILING,
    default: 8192,
    says: "Longest request line; a longer one is answered 414.",
  }),
  headBytes: bytes({
    min: 256,
    max: HEAD_BYTES_CEILING,
    default: 32_768,
    says: "Longest head, request line included; a longer one is answered 431.",
  }),
  fieldCount: count({
    min: 8,
    max: 4096,
    default: 128,
    says: "Most header fields of one head; more are answered 431.",
  }),
  chunkExtensionBytes: bytes({
    min: 0,
    max: 65_536,
    default: 1024,
    says: "Most chunk-extension bytes of one message.",
  }),
  requestBodyBytes: bytes({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 0,
    zeroIsNoLimit: true,
    says: "Longest request body; a longer one is answered 413.",
  }),
  pipelinedRequests: count({
    min: 1,
    max: 100_000,
    default: 128,
    says: "Requests answered in one row while more of them already wait; the one after is answered with close.",
  }),
  drainBytes: bytes({
    min: 0,
    max: 1024 * 1024 * 1024,
    default: 262_144,
    says: "Unread request body that is read and thrown away after an early answer; beyond it the connection is closed.",
  }),
  replayBodyBytes: bytes({
    min: 0,
    max: 16 * 1024 * 1024,
    default: 65_536,
    says: "Request body kept in memory so that the request can be sent again; a longer one needs the spool.",
  }),
  clientConnections: count({
    min: 1,
    max: 10_000_000,
    default: 0,
    zeroIsNoLimit: true,
    says: "Client connections of the whole process.",
  }),
  clientRequests: count({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 0,
    zeroIsNoLimit: true,
    says: "Requests on one client connection.",
  }),
});

const timeoutsSchema = z.strictObject({
  clientHeadMs: milliseconds({
    min: 10,
    max: HOUR_MS,
    default: 10_000,
    says: "From the first byte of a request's head (or the start of the connection) to its end; then 408.",
  }),
  clientBodyMs: milliseconds({
    min: 10,
    max: HOUR_MS,
    default: 30_000,
    says: "Between two pieces of a request body; then 408.",
  }),
  clientIdleMs: milliseconds({
    min: 10,
    max: DAY_MS,
    default: 60_000,
    says: "Between two requests of one connection; then it is closed.",
  }),
  clientWriteMs: milliseconds({
    min: 10,
    max: DAY_MS,
    default: 30_000,
    says: "While a client takes nothing of an answer that waits for it; then the connection is closed.",
  }),
  clientLingerMs: milliseconds({
    min: 0,
    max: 60_000,
    default: 2000,
    says: "How long a closing connection is still read so that its last answer is not lost.",
  }),
  tunnelIdleMs: milliseconds({
    min: 10,
    max: U32_MAX,
    default: HOUR_MS,
    zeroIsNoLimit: true,
    says: "While neither side of a tunnel (WebSocket, other upgrades) sends.",
  }),
  continueMs: milliseconds({
    min: 0,
    max: 60_000,
    default: 1000,
    says: "How long the origin's 100 (Continue) is waited for before the body is sent anyway.",
  }),
});

const forwardingSchema = z.strictObject({
  via: flag({ default: true, says: "Add Via to requests and answers." }),
  xForwarded: flag({ default: true, says: "Set X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host." }),
  forwarded: flag({ default: false, says: "Set Forwarded (RFC 7239)." }),
  clientCertificate: flag({
    default: false,
    says: "Set Client-Cert (RFC 9440) to the certificate a client has shown and that was verified. What clients send under that name is dropped in any case.",
  }),
  trustedProxies: z
    .array(
      text("A network, e.g. 10.0.0.0/8, fd00::/8, or one address.", (value) => {
        const parsed = parseNetwork(value);
        return parsed.ok ? null : parsed.says;
      }),
    )
    .default([])
    .describe("Peers whose forwarding fields are kept and extended; from all others they are dropped."),
});

const accessLogSchema = z.strictObject({
  to: z
    .string()
    .min(1)
    .default("stdout")
    .describe("stdout, stderr, or the path of a file to append to (SIGUSR1 opens it anew)."),
  queueBytesMax: bytes({
    min: 65_536,
    max: 1024 * 1024 * 1024,
    default: 8 * 1024 * 1024,
    says: "Lines a worker keeps while the sink is slow; beyond it lines are dropped and counted, never requests.",
  }),
});

const logSchema = z.strictObject({
  level: z
    .enum(LOG_LEVELS)
    .default("info")
    .describe(
      "Least severe level that the log of the process (standard error) shows; PUT /log-level of the admin API changes it.",
    ),
});

const metricsSchema = z.strictObject({
  targetsMax: count({
    min: 0,
    max: 100_000,
    default: 500,
    says: "Targets with series of their own, over all origins; what the others count is added up as target other.",
  }),
  perWorker: flag({
    default: true,
    says: "Whether series are told for each worker; else their sums only.",
  }),
});

const adminSchema = z.strictObject({
  address: text(
    "Where the admin API listens: a loopback address unless hosts says who may ask, or unix: and the path of a socket that its owner alone may open.",
    (value) => {
      const parsed = parseAdminPlace(value);
      return parsed.ok ? null : parsed.says;
    },
  ).default("127.0.0.1:9901"),
  token: z
    .union([
      text(`The token itself, at least ${TOKEN_LENGTH_MIN} characters.`, judgeToken),
      z.strictObject({
        file: z.string().min(1).describe("The file that holds it, read again at each request."),
      }),
    ])
    .optional()
    .describe(
      "Whoever asks must send it as Authorization: Bearer; only GET /livez and GET /readyz are answered without. The token, or the file that holds it.",
    ),
  hosts: z
    .array(z.string().min(1))
    .default([])
    .describe("Values of Host that are answered besides the loopback names and addresses."),
  metrics: metricsSchema.prefault({}).describe("How many series GET /metrics may have."),
});

const shutdownSchema = z.strictObject({
  delayMs: milliseconds({
    min: 0,
    max: HOUR_MS,
    default: 0,
    says: "How long everything is served as before after SIGTERM or SIGINT, while /readyz is 503 already, so that whoever balances in front hears of it before a connection is refused.",
  }),
  deadlineMs: milliseconds({
    min: 0,
    max: HOUR_MS,
    default: 30_000,
    says: "How long requests in flight may take after SIGTERM or SIGINT before their connections are closed.",
  }),
});

const upgradeSchema = z.strictObject({
  readyMs: milliseconds({
    min: 100,
    max: HOUR_MS,
    default: 30_000,
    says: "How long the new process may take until it is ready; then it is ended, and this one serves on.",
  }),
  idleMs: milliseconds({
    min: 0,
    max: HOUR_MS,
    default: 5000,
    says: "How long idle clients of the old process may still send a request, which is answered with close; then their connections are closed.",
  }),
});

/** The whole document, as the operator writes it. */
export const settingsSchema = z.strictObject({
  $schema: z.string().optional().describe("For editors: where the JSON Schema of this document is; ignored."),
  name: text("Name of this proxy in Via and in the Server field of answers it makes itself.", (value) =>
    isToken(value) && value.length <= 64 ? null : `"${value}" must be a token of at most 64 characters`,
  ).default("millrace"),
  workers: z
    .union(AUTO_OR_WORKERS, { error: AUTO_OR_WORKERS_SAYS })
    .default("auto")
    .describe('Edge workers; "auto" = the CPUs this process may use (affinity and cgroup quota).'),
  zone: zoneName.optional().describe("Where this proxy stands; targets of the same zone are preferred."),
  listeners: z
    .array(z.union([listenAddress, listenerSchema]))
    .min(1, { error: "must name at least one address to listen on" })
    .default(["127.0.0.1:8080"])
    .describe(
      "Where clients connect: addresses, or objects with name, address, backlog, tls, httpVersions and proxyProtocol.",
    ),
  pool: poolSchema.prefault({}).describe("Idle and busy connections to origins, shared by all workers."),
  retryBudget: retryBudgetSchema
    .prefault({})
    .describe("How many requests may be further attempts, counted over all workers and origins."),
  persistence: persistenceSchema.prefault({}).describe("Whether connections outlive their first exchange."),
  spool: z
    .union([z.literal(false), spoolSchema])
    .default(false)
    .describe(
      "Where request bodies longer than limits.replayBodyBytes are kept so that they can be sent again, or false: clients' bodies go to a disk only where the operator says so.",
    ),
  dns: dnsSchema.prefault({}).describe("How names of targets are resolved, off the path of requests."),
  limits: limitsSchema.prefault({}).describe("What one client may ask of us."),
  timeouts: timeoutsSchema.prefault({}).describe("How long clients and tunnels may keep us waiting."),
  cache: cacheSchema.prefault({}).describe("What the process keeps of answers, for routes that say cache."),
  http2: http2Schema
    .prefault({})
    .describe("HTTP/2 on both sides: windows, buffers, and what one peer may do in a second."),
  forwarding: forwardingSchema.prefault({}).describe("What origins are told about the client."),
  accessLog: z
    .union([z.literal(false), accessLogSchema])
    .default(false)
    .describe("One JSON line a request, or false."),
  log: logSchema.prefault({}).describe("The log of the process itself."),
  admin: z
    .union([z.literal(false), adminSchema])
    .default(false)
    .describe("The local admin API: books, metrics, health, connections, explanations, draining of targets. Or false."),
  shutdown: shutdownSchema.prefault({}).describe("How the process leaves."),
  upgrade: upgradeSchema.prefault({}).describe("How a new process takes the place of this one (SIGUSR2)."),
  origins: z.record(z.string(), originSchema).default({}).describe("The services behind this proxy, by name."),
  routes: z
    .array(routeSchema)
    .optional()
    .describe(
      "What happens to a request: the first route that matches takes it. Without routes, one origin takes all.",
    ),
});

/** Settings with every default filled in. */
export type Settings = DeepReadonly<z.output<typeof settingsSchema>>;
/** Settings as an operator writes them: everything with a default may be left out. */
export type SettingsInput = DeepReadonly<z.input<typeof settingsSchema>>;
/** `routes[].cache` where it is more than true or false. */
export type RouteCache = Exclude<NonNullable<NonNullable<Settings["routes"]>[number]["cache"]>, boolean>;

/** A type whose every part is readonly. */
export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** What a listener is called in logs and messages: its own name, else by its place. */
export function listenerName(name: string | undefined, index: number): string {
  return name ?? (index === 0 ? "main" : `listener-${index + 1}`);
}

/**
 * Gives a settings file its types: `export default defineConfig({ … })`. Returns what it is given; the checks are done
 * when the settings are loaded.
 */
export function defineConfig(settings: SettingsInput): SettingsInput {
  return settings;
}
