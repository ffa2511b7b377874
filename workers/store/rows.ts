/**
 * What stands in the store for one target: a row of all its variants, in msgpack behind a checksum that covers the target
 * too, so that a row that was moved or damaged is never taken for an answer. Bodies up to a bound stand in the row, longer
 * ones are files by the SHA-256 of their bytes (bodies.ts).
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { Packr } from "msgpackr";

/** The format of rows and indexes. A store of another one is emptied when it is opened. */
export const FORMAT = 1;

/** Longest key; LMDB takes 1978 bytes, and an index puts 17 before it. */
const KEY_BYTES_MAX = 1024;
const KEY_HEAD_BYTES = 900;
const CHECKSUM_BYTES = 4;
const TAG_HASH_BYTES = 16;

/** One stored answer. */
export interface Variant {
  readonly id: Uint8Array;
  readonly meta: Uint8Array;
  /** Byte for byte (latin1). */
  readonly tags: readonly string[];
  /** The opening of the store it was written in, and the purge clock of that process. */
  readonly run: number;
  readonly stamp: number;
  /** When a soft purge met it, in ms since 1970; 0 = none did. */
  readonly softMs: number;
  /** Of the body. */
  readonly length: number;
  readonly body: BodyPlace;
}

export type BodyPlace =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly hash: Uint8Array };

export interface Row {
  readonly target: Uint8Array;
  /** Its place in the order of eviction. */
  readonly place: number;
  readonly variants: readonly Variant[];
}

type PackedVariant = [Uint8Array, Uint8Array, readonly string[], number, number, number, number, Uint8Array, boolean];

const packr = new Packr({ useRecords: false, variableMapSize: true });

/** The key of a target: itself, or its beginning and a hash where it is too long for one. */
export function keyOf(target: Uint8Array): Buffer {
  const bytes = Buffer.from(target.buffer, target.byteOffset, target.byteLength);
  if (bytes.length <= KEY_BYTES_MAX) return bytes;
  const hash = createHash("sha256").update(bytes).digest();
  // No target has a zero byte, so this one ends what they have in common.
  return Buffer.concat([bytes.subarray(0, KEY_HEAD_BYTES), Buffer.of(0), hash]);
}

/** The beginning of the keys of all targets that begin so; those that are too long have less of it. */
export function keyPrefixOf(prefix: Uint8Array): Buffer {
  return Buffer.from(prefix.subarray(0, KEY_HEAD_BYTES));
}

/** The beginning of all entries of a tag in the index; the key of the target follows. */
export function tagPrefixOf(tag: string): Buffer {
  return createHash("sha256").update(tag, "latin1").digest().subarray(0, TAG_HASH_BYTES);
}

export function tagKeyOf(tag: string, key: Uint8Array): Buffer {
  return Buffer.concat([tagPrefixOf(tag), key]);
}

/** The key of the target in an entry of the index of tags. */
export function keyOfTagKey(tagKey: Buffer): Buffer {
  return tagKey.subarray(TAG_HASH_BYTES);
}

/** The first key after all that begin so. */
export function endOfPrefix(prefix: Uint8Array): Buffer {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return Buffer.alloc(KEY_BYTES_MAX, 0xff);
  const end = Buffer.from(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] ?? 0) + 1;
  return end;
}

export function packRow(row: Row): Buffer {
  const variants = row.variants.map((one): PackedVariant => {
    const isFile = one.body.kind === "file";
    const bytes = one.body.kind === "file" ? one.body.hash : one.body.bytes;
    return [one.id, one.meta, one.tags, one.run, one.stamp, one.softMs, one.length, bytes, isFile];
  });
  const packed = packr.pack([row.target, row.place, variants]);
  const value = Buffer.allocUnsafe(CHECKSUM_BYTES + packed.length);
  value.writeUInt32LE(crc32(packed), 0);
  value.set(packed, CHECKSUM_BYTES);
  return value;
}

/** The row, or null if it is not what was written. Its bytes are views of `value`. */
export function unpackRow(value: Buffer): Row | null {
  if (value.length < CHECKSUM_BYTES) return null;
  const packed = value.subarray(CHECKSUM_BYTES);
  if (crc32(packed) !== value.readUInt32LE(0)) return null;
  const [target, place, variants] = packr.unpack(packed) as [Uint8Array, number, PackedVariant[]];
  return {
    target,
    place,
    variants: variants.map(([id, meta, tags, run, stamp, softMs, length, bytes, isFile]) => ({
      id,
      meta,
      tags,
      run,
      stamp,
      softMs,
      length,
      body: isFile ? { kind: "file", hash: bytes } : { kind: "inline", bytes },
    })),
  };
}

/** All tags of a row, each once. */
export function tagsOf(row: Row | null): ReadonlySet<string> {
  return new Set(row?.variants.flatMap((variant) => variant.tags) ?? []);
}

/** What a row and its entries in the indexes take, without the files it names. */
export function weightOf(key: Uint8Array, value: Uint8Array, tags: ReadonlySet<string>): number {
  const inOrder = key.length + 8;
  return key.length + value.length + inOrder + tags.size * (TAG_HASH_BYTES + key.length);
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** Byte for byte (latin1). */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
