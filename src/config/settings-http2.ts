/**
 * Settings of HTTP/2: who speaks it, how much may be on its way, and what a peer may do in a second before its connection
 * is ended with ENHANCE_YOUR_CALM (RFC 9113 10.5). Each limit is counted by its name.
 */
import { z } from "zod";
import { bytes, count } from "./leaves.js";

/** Largest window of RFC 9113 6.9.1. */
const WINDOW_BYTES_MAX = 2 ** 31 - 1;
/** Each window begins with this (RFC 9113 6.9.2). */
const WINDOW_BYTES_MIN = 65_535;

/** A limit of frames of one kind, for each connection and second. */
const perSecond = (fallback: number, says: string) => count({ min: 1, max: 1_000_000, default: fallback, says });

/** `listeners[].httpVersions`. */
export const listenerVersions = z
  .array(z.enum(["1.1", "2"]))
  .refine((list) => list.includes("1.1"), { error: 'must have "1.1": there is no listener for HTTP/2 alone' })
  .refine((list) => new Set(list).size === list.length, { error: "names a version twice" })
  .optional()
  .describe(
    'Versions of HTTP that are spoken. Over TLS the client chooses by ALPN; without TLS "2" means that a connection which begins with HTTP/2\'s preface speaks it (prior knowledge). Absent = ["1.1", "2"] over TLS, else ["1.1"].',
  );

/** `origins.<name>.httpVersions`. */
export const originVersions = z
  .array(z.enum(["1.1", "2"]))
  .min(1, { error: 'needs "1.1", "2" or both' })
  .refine((list) => new Set(list).size === list.length, { error: "names a version twice" })
  .default(["1.1"])
  .describe(
    'Versions of HTTP that its targets are spoken to in. ["2", "1.1"]: HTTP/2 is offered by ALPN (https:// only), and what the target chooses is spoken. ["2"]: HTTP/2 only; https:// targets must agree by ALPN, http:// targets are spoken to without asking (h2c with prior knowledge). On one connection of HTTP/2 run the requests of many clients at once.',
  );

/** `http2`. */
export const http2Schema = z.strictObject({
  streams: count({
    min: 1,
    max: 10_000,
    default: 128,
    says: "Streams a client may have open at once on a connection; one more is refused (REFUSED_STREAM).",
  }),
  streamWindowBytes: bytes({
    min: WINDOW_BYTES_MIN,
    max: WINDOW_BYTES_MAX,
    default: 262_144,
    says: "Body bytes a peer may send ahead on one stream.",
  }),
  connectionWindowBytes: bytes({
    min: WINDOW_BYTES_MIN,
    max: WINDOW_BYTES_MAX,
    default: 1_048_576,
    says: "Body bytes a peer may send ahead on all streams of a connection together.",
  }),
  streamBufferBytes: bytes({
    min: 16_384,
    max: 16 * 1024 * 1024,
    default: 65_536,
    says: "Bytes to a peer that are held for one stream.",
  }),
  connectionBufferBytes: bytes({
    min: 65_536,
    max: 1024 * 1024 * 1024,
    default: 1_048_576,
    says: "Answer bytes that the streams of one connection hold together; while it is more, nothing further is read from origins for them.",
  }),
  resetsPerS: perSecond(200, "Streams a client may reset."),
  ownResetsPerS: perSecond(100, "Streams a client may make us reset by breaking the protocol, or by opening too many."),
  settingsPerS: perSecond(20, "SETTINGS frames."),
  pingsPerS: perSecond(50, "PING frames."),
  windowUpdatesPerS: perSecond(200, "WINDOW_UPDATE frames beyond those that DATA we sent explains (4 for each frame)."),
  emptyFramesPerS: perSecond(100, "DATA and CONTINUATION frames without a byte and without an end."),
  prioritiesPerS: perSecond(200, "PRIORITY frames, and frames of unknown kinds."),
  continuations: count({ min: 0, max: 16, default: 4, says: "CONTINUATION frames of one header block." }),
});
