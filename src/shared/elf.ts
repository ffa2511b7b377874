/**
 * Looks at a shared library before it is loaded. The dynamic loader maps a file that was cut short and dies of it with a
 * bus error, and it has no sentence for a library of another architecture; so both are asked here first.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** ELF's number of an architecture as Node names it. */
const MACHINES: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const LOADED_SEGMENT = 1;

/**
 * What keeps a 64-bit little-endian ELF file from being loaded on this architecture, as the end of a sentence; null when
 * nothing is found.
 *
 * @throws Error when the file cannot be read.
 */
export function libraryFlaw(path: string, architecture: string): string | null {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const header = readAt(fd, 0, HEADER_BYTES);
    if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== 0x7f454c46) return "it is not a shared library";
    const machine = header.readUInt16LE(18);
    if (machine !== MACHINES[architecture]) {
      const built = Object.keys(MACHINES).find((name) => MACHINES[name] === machine) ?? `machine ${machine}`;
      return `it was built for ${built}, and this is ${architecture}`;
    }
    const segments = readAt(fd, Number(header.readBigUInt64LE(32)), header.readUInt16LE(56) * SEGMENT_BYTES);
    return size < bytesLoaded(segments) ? "it was cut short" : null;
  } finally {
    closeSync(fd);
  }
}

/** How long a file must be for every segment that is loaded. */
function bytesLoaded(segments: Buffer): number {
  let end = 0;
  for (let at = 0; at + SEGMENT_BYTES <= segments.length; at += SEGMENT_BYTES) {
    if (segments.readUInt32LE(at) !== LOADED_SEGMENT) continue;
    end = Math.max(end, Number(segments.readBigUInt64LE(at + 8) + segments.readBigUInt64LE(at + 32)));
  }
  return end;
}

function readAt(fd: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, at));
}
