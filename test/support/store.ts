/**
 * A store for tests: in a folder of its own, with a writer and a reader, and what there is to put into it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadNative } from "../../src/native.js";
import { type Purge, type PurgeScope, StoreFacts, type StoreWrite, Touches } from "../../src/shared/store.js";
import { type Found, StoreReader } from "../../workers/edge/store-reader.js";
import { Store, type StoreOptions } from "../../workers/store/store.js";

const MIB = 1024 * 1024;

/** A store and what it said. */
export interface OpenedStore {
  readonly store: Store;
  readonly reader: StoreReader;
  readonly facts: StoreFacts;
  readonly said: string[];
  /** Targets and files that readers found broken. */
  readonly broken: string[];
  readonly close: () => Promise<void>;
}

export function newFolder(): { readonly folder: string; readonly remove: () => void } {
  const above = mkdtempSync(join(tmpdir(), "millrace-store-"));
  return { folder: join(above, "store"), remove: () => rmSync(above, { recursive: true, force: true }) };
}

export async function openStore(folder: string, more: Partial<StoreOptions> = {}): Promise<OpenedStore> {
  const native = loadNative();
  const locks: number[] = [];
  const said: string[] = [];
  const broken: string[] = [];
  const facts = new StoreFacts();
  const touches = new Touches();
  const takeLock = (path: string) => {
    const lock = native.lockFile(path);
    if (lock !== null) locks.push(lock);
    return lock !== null;
  };
  const bytes = more.bytes ?? 64 * MIB;
  const say = (_: string, says: string) => said.push(says);
  const store = await Store.open({ folder, bytes, bodyInlineBytes: 4096, facts, touches, takeLock, say, ...more });
  const handleBroken = (target: Uint8Array, file: Uint8Array | null) => {
    broken.push(Buffer.from(target).toString("latin1"));
    void store.dropBroken(target, file);
  };
  const reader = new StoreReader({ folder, bytes, facts, touches, handleBroken });
  const close = async () => {
    await store.close();
    for (const lock of locks) native.unlockFile(lock);
  };
  return { store, reader, facts, said, broken, close };
}

export interface PutInput {
  readonly target: string;
  readonly id?: string;
  readonly body?: Uint8Array;
  readonly tags?: readonly string[];
  readonly stamp?: number;
}

export function put({ target, id = "", body = Buffer.from("body"), tags = [], stamp = 1 }: PutInput): StoreWrite {
  return {
    kind: "put",
    target: Buffer.from(target, "latin1"),
    variantId: Buffer.from(id),
    meta: Buffer.from(`meta of ${target} ${id}`),
    body: [body],
    tags: tags.map((tag) => Buffer.from(tag)),
    stamp,
  };
}

export function purgeOf(scope: PurgeScope, more: Partial<Purge> = {}): Purge {
  return { scope, soft: false, stamp: 1, atMs: 1_000_000, ...more };
}

export function findOne(reader: StoreReader, target: string): readonly Found[] {
  return reader.find([Buffer.from(target, "latin1")])[0] ?? [];
}

/** What a reader finds of a target: each variant's id with its body, or null where the body is not there. */
export async function readAll(reader: StoreReader, target: string): Promise<Map<string, Buffer | null>> {
  const name = Buffer.from(target, "latin1");
  const found = new Map<string, Buffer | null>();
  for (const one of findOne(reader, target)) {
    const body = await reader.read(name, one);
    found.set(Buffer.from(one.id).toString(), body === null ? null : Buffer.from(body));
  }
  return found;
}
