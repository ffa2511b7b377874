/**
 * Frames of HTTP/2 (RFC 9113) as bytes: one function for each kind that is sent, and readers of those that come. Nothing
 * here judges: a frame with a wrong length, a wrong flag or on a wrong stream is written as it is asked for.
 */
import { type Bytes, toBytes } from "./wire.js";

/** RFC 9113 3.4: what a client's connection begins with. */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FRAME_HEAD_BYTES = 9;

const FRAME_NAMES = [
  "DATA",
  "HEADERS",
  "PRIORITY",
  "RST_STREAM",
  "SETTINGS",
  "PUSH_PROMISE",
  "PING",
  "GOAWAY",
  "WINDOW_UPDATE",
  "CONTINUATION",
] as const;
export type FrameName = (typeof FRAME_NAMES)[number];

const ERROR_NAMES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
] as const;
export type ErrorName = (typeof ERROR_NAMES)[number];

export const FLAGS = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** RFC 9113 6.5.2, and RFC 8441 3. */
export const SETTINGS = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;
export type SettingName = keyof typeof SETTINGS;
export type SettingValues = Partial<Readonly<Record<SettingName, number>>>;

/** A frame that came. */
export interface Frame {
  /** Its name, or the number of a type that has none. */
  readonly type: FrameName | number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Any frame at all: `length` may lie about the payload. */
export function frame(
  type: FrameName | number,
  stream: number,
  payload: Bytes = "",
  { flags = 0, length }: { readonly flags?: number; readonly length?: number } = {},
): Buffer {
  const bytes = toBytes(payload);
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(length ?? bytes.length, 0, 3);
  head[3] = typeof type === "number" ? type : FRAME_NAMES.indexOf(type);
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}

export interface BlockOptions {
  /** Whether the message ends here. */
  readonly end?: boolean;
  /** False when CONTINUATION follows. */
  readonly endHeaders?: boolean;
}

export function headers(stream: number, block: Bytes, { end = true, endHeaders = true }: BlockOptions = {}): Buffer {
  const flags = (end ? FLAGS.endStream : 0) | (endHeaders ? FLAGS.endHeaders : 0);
  return frame("HEADERS", stream, block, { flags });
}

export function continuation(stream: number, block: Bytes, endHeaders = true): Buffer {
  return frame("CONTINUATION", stream, block, { flags: endHeaders ? FLAGS.endHeaders : 0 });
}

export function data(stream: number, bytes: Bytes, end = false): Buffer {
  return frame("DATA", stream, bytes, { flags: end ? FLAGS.endStream : 0 });
}

/** DATA with this many octets of padding. */
export function paddedData(stream: number, bytes: Bytes, padding: number, end = false): Buffer {
  const payload = Buffer.concat([Buffer.from([padding]), toBytes(bytes), Buffer.alloc(padding)]);
  return frame("DATA", stream, payload, { flags: FLAGS.padded | (end ? FLAGS.endStream : 0) });
}

export function settings(values: SettingValues = {}): Buffer {
  const entries = Object.entries(values) as [SettingName, number][];
  return frame(
    "SETTINGS",
    0,
    Buffer.concat(
      entries.map(([name, value]) => {
        const entry = Buffer.alloc(6);
        entry.writeUInt16BE(SETTINGS[name], 0);
        entry.writeUInt32BE(value, 2);
        return entry;
      }),
    ),
  );
}

export function settingsAck(): Buffer {
  return frame("SETTINGS", 0, "", { flags: FLAGS.ack });
}

export function ping(payload: Bytes = "12345678", ack = false): Buffer {
  return frame("PING", 0, payload, { flags: ack ? FLAGS.ack : 0 });
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function windowUpdate(stream: number, bytes: number): Buffer {
  return frame("WINDOW_UPDATE", stream, word(bytes));
}

export function resetStream(stream: number, error: ErrorName = "CANCEL"): Buffer {
  return frame("RST_STREAM", stream, word(ERROR_NAMES.indexOf(error)));
}

export function priority(stream: number, dependsOn = 0, weight = 15): Buffer {
  return frame("PRIORITY", stream, Buffer.concat([word(dependsOn), Buffer.from([weight])]));
}

export function goaway(lastStream: number, error: ErrorName = "NO_ERROR", says = ""): Buffer {
  return frame("GOAWAY", 0, Buffer.concat([word(lastStream), word(ERROR_NAMES.indexOf(error)), toBytes(says)]));
}

/** The first whole frame of the bytes, and how many it takes; undefined while it is not all there. */
export function readFrame(bytes: Buffer): { readonly frame: Frame; readonly taken: number } | undefined {
  if (bytes.length < FRAME_HEAD_BYTES) return undefined;
  const taken = FRAME_HEAD_BYTES + bytes.readUIntBE(0, 3);
  if (bytes.length < taken) return undefined;
  const code = bytes[3] ?? 0;
  return {
    taken,
    frame: {
      type: FRAME_NAMES[code] ?? code,
      flags: bytes[4] ?? 0,
      stream: bytes.readUInt32BE(5) & 0x7fffffff,
      payload: bytes.subarray(FRAME_HEAD_BYTES, taken),
    },
  };
}

/** What DATA or HEADERS carry between padding and priority. */
export function contentOf({ type, flags, payload }: Frame): Buffer {
  const padding = flags & FLAGS.padded ? (payload[0] ?? 0) + 1 : 0;
  const from = (padding > 0 ? 1 : 0) + (type === "HEADERS" && flags & FLAGS.priority ? 5 : 0);
  return payload.subarray(from, payload.length - Math.max(0, padding - 1));
}

/** The error a RST_STREAM or GOAWAY names. */
export function errorOf({ type, payload }: Frame): ErrorName | number {
  const code = payload.readUInt32BE(type === "GOAWAY" ? 4 : 0);
  return ERROR_NAMES[code] ?? code;
}

/** The values of a SETTINGS frame; those without a name are left out. */
export function settingsOf({ payload }: Frame): SettingValues {
  const values: Partial<Record<SettingName, number>> = {};
  for (let at = 0; at + 6 <= payload.length; at += 6) {
    const id = payload.readUInt16BE(at);
    const name = (Object.keys(SETTINGS) as SettingName[]).find((one) => SETTINGS[one] === id);
    if (name !== undefined) values[name] = payload.readUInt32BE(at + 2);
  }
  return values;
}
