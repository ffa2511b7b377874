/**
 * The tables of the store in LMDB, opened in the same way by the thread that writes them and by those that read. LMDB keeps
 * one environment for all threads of a process; a commit becomes visible whole, and a process that is killed leaves the
 * last commit as it was.
 */
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";

/** Threads that may read at once. */
const READERS_MAX = 512;
/** Of the address space, which the map only takes and does not fill. */
const MAP_BYTES_MAX = 2 ** 44;

type Table = Database<Buffer, Buffer>;

/** See the file. Keys and values are bytes, but for `order` and `purges`, whose keys are numbers. */
export interface Tables {
  readonly root: RootDatabase<Buffer, Buffer>;
  /** Key of the target → row (rows.ts). */
  readonly rows: Table;
  /** Place in the order of eviction → key of the target. */
  readonly order: Database<Buffer, number>;
  /** Hash of a tag and key of a target that has it → nothing. */
  readonly tags: Table;
  /** SHA-256 of a body that is a file → how many variants refer to it, and its length. */
  readonly bodies: Table;
  /** Number → a purge, until it was carried out. */
  readonly purges: Database<Buffer, number>;
}

/**
 * Opens the tables below the folder of the store.
 *
 * @param bytes What the store may hold; the map is made large enough that it never moves.
 */
export function openTables(folder: string, bytes: number): Tables {
  const root = open<Buffer, Buffer>({
    path: join(folder, "tables"),
    noSubdir: false,
    maxDbs: 8,
    maxReaders: READERS_MAX,
    mapSize: Math.min(2 * bytes + 256 * 1024 * 1024, MAP_BYTES_MAX),
    encoding: "binary",
    keyEncoding: "binary",
    cache: false,
    compression: false,
  });
  const byBytes = (name: string): Table => root.openDB({ name, encoding: "binary", keyEncoding: "binary" });
  const byNumber = (name: string): Database<Buffer, number> => root.openDB({ name, encoding: "binary" });
  return {
    root,
    rows: byBytes("rows"),
    order: byNumber("order"),
    tags: byBytes("tags"),
    bodies: byBytes("bodies"),
    purges: byNumber("purges"),
  };
}
