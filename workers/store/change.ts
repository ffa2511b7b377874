/**
 * One transaction of the store: rows with their places in the order of eviction, the index of tags, the references to body
 * files, and the books, all changed together or not at all. Opens no transaction and touches no file; what files are not
 * referred to any more is told to whoever commits.
 */
import { Packr } from "msgpackr";
import type { Touches } from "../../src/shared/store.js";
import type { Purges, Verdict } from "./purges.js";
import {
  endOfPrefix,
  packRow,
  type Row,
  sameBytes,
  tagKeyOf,
  tagsOf,
  textOf,
  unpackRow,
  type Variant,
  weightOf,
} from "./rows.js";
import type { Tables } from "./tables.js";

/** Most variants of one target; the oldest goes. */
export const VARIANTS_MAX = 32;
/** Most targets looked at for eviction in one transaction. */
const EVICTED_MAX = 4096;
const NOTHING = Buffer.of(0);
export const BOOKS_KEY = Buffer.from("books");

const packr = new Packr({ useRecords: false });

/** What the store holds, exactly. */
export interface Books {
  /** How often it was opened: stamps of different openings do not compare. */
  readonly run: number;
  /** The next place in the order of eviction. */
  readonly nextPlace: number;
  readonly targets: number;
  readonly variants: number;
  /** Rows, their entries in the indexes, and files. */
  readonly bytes: number;
  /** A damaged row was dropped, with its entries in the indexes unknown: they are made anew at the next opening. */
  readonly damaged: boolean;
}

const EMPTY_BOOKS: Books = { run: 0, nextPlace: 1, targets: 0, variants: 0, bytes: 0, damaged: false };

export function readBooks({ root }: Pick<Tables, "root">): Books {
  const value = root.getBinary(BOOKS_KEY);
  return value === undefined ? EMPTY_BOOKS : (packr.unpack(value) as Books);
}

/** The changes of one transaction; made inside of it, and of no use after it. */
export class Change {
  readonly #tables: Tables;
  readonly #books: { -readonly [Name in keyof Books]: Books[Name] };
  readonly #unreferred = new Map<string, Buffer>();
  evictions = 0;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.#books = { ...readBooks(tables) };
  }

  get books(): Books {
    return this.#books;
  }

  /** Hashes of the files that nothing refers to any more; to be removed after the commit. */
  get unreferred(): readonly Buffer[] {
    return [...this.#unreferred.values()];
  }

  /** Adds a variant, in place of the one with its id. */
  put(key: Buffer, target: Uint8Array, variant: Variant): void {
    const known = this.#read(key);
    const row = known?.row ?? null;
    // Two long targets with one key: the newer has it.
    const others = row !== null && sameBytes(row.target, target) ? row.variants : [];
    const kept = others.filter((one) => !sameBytes(one.id, variant.id)).slice(1 - VARIANTS_MAX);
    this.#write(key, known, { target, place: this.#books.nextPlace, variants: [...kept, variant] });
    this.#books.nextPlace += 1;
  }

  /** Removes one variant, or all where no id is given. */
  remove(key: Buffer, target: Uint8Array, id?: Uint8Array): void {
    const known = this.#read(key);
    if (known === null) return;
    if (known.row !== null && !sameBytes(known.row.target, target)) return;
    const left = id === undefined ? [] : (known.row?.variants.filter((one) => !sameBytes(one.id, id)) ?? []);
    this.#keep(key, known, left);
  }

  /** Does to a row what the purges say. */
  purge(key: Buffer, purges: Purges): void {
    const known = this.#read(key);
    if (known === null) return;
    const { row } = known;
    const name = () => textOf(row?.target ?? NOTHING);
    const left = (row?.variants ?? []).flatMap((one): Variant[] => {
      const verdict: Verdict = purges.judge(name, one);
      if (verdict === "gone") return [];
      return [verdict === one.softMs ? one : { ...one, softMs: verdict }];
    });
    const isSame =
      row !== null && left.length === row.variants.length && left.every((one, at) => one === row.variants[at]);
    if (!isSame) this.#keep(key, known, left);
  }

  /** Removes the oldest targets until no more than `bytes` are left. One that was asked for goes back to the end, once. */
  evict(bytes: number, touches: Touches): void {
    const { order } = this.#tables;
    for (let looked = 0; this.#books.bytes > bytes && looked < EVICTED_MAX; ) {
      const oldest = [...order.getRange({ limit: 64 })];
      if (oldest.length === 0) return;
      for (const { key: place, value: key } of oldest) {
        if (this.#books.bytes <= bytes) return;
        looked += 1;
        const known = this.#read(key);
        if (known?.row == null) {
          order.removeSync(place);
          if (known !== null) this.#keep(key, known, []);
        } else if (touches.take(key)) {
          this.#write(key, known, { ...known.row, place: this.#books.nextPlace });
          this.#books.nextPlace += 1;
        } else {
          this.#keep(key, known, []);
          this.evictions += 1;
        }
      }
    }
  }

  /** Begins with nothing but the rows, whose indexes and books are then made anew by `adopt`. */
  forget(): void {
    for (const table of [this.#tables.order, this.#tables.tags, this.#tables.bodies]) table.clearSync();
    Object.assign(this.#books, { targets: 0, variants: 0, bytes: 0, damaged: false });
  }

  /** Takes a row that is there already into the indexes and the books; one that is damaged goes. */
  adopt(key: Buffer): void {
    const known = this.#read(key);
    this.#tables.rows.removeSync(key);
    if (known?.row == null) return;
    this.#write(key, null, { ...known.row, place: this.#books.nextPlace });
    this.#books.nextPlace += 1;
  }

  /** A new opening: stamps of those before are older than all of this one. */
  open(): void {
    this.#books.run += 1;
  }

  /** Writes the books; the last thing in a transaction. */
  close(): void {
    this.#tables.root.putSync(BOOKS_KEY, packr.pack(this.#books));
  }

  #read(key: Buffer): Known | null {
    const value = this.#tables.rows.getBinary(key);
    return value === undefined ? null : { value, row: unpackRow(value) };
  }

  #keep(key: Buffer, known: Known, variants: readonly Variant[]): void {
    this.#write(key, known, known.row === null || variants.length === 0 ? null : { ...known.row, variants });
  }

  #write(key: Buffer, known: Known | null, row: Row | null): void {
    const { rows, order, tags } = this.#tables;
    const old = known?.row ?? null;
    const [oldTags, newTags] = [tagsOf(old), tagsOf(row)];
    const value = row === null ? null : packRow(row);
    for (const variant of row?.variants ?? []) this.#refer(variant, 1);
    for (const variant of old?.variants ?? []) this.#refer(variant, -1);
    for (const tag of newTags) if (!oldTags.has(tag)) tags.putSync(tagKeyOf(tag, key), NOTHING);
    for (const tag of oldTags) if (!newTags.has(tag)) tags.removeSync(tagKeyOf(tag, key));
    if (old !== null && old.place !== row?.place) order.removeSync(old.place);
    if (row !== null && old?.place !== row.place) order.putSync(row.place, key);
    if (value === null) rows.removeSync(key);
    else rows.putSync(key, value);
    const books = this.#books;
    if (known !== null && old === null) books.damaged = true;
    if (known !== null) books.bytes -= weightOf(key, known.value, oldTags);
    if (value !== null) books.bytes += weightOf(key, value, newTags);
    books.targets += (value === null ? 0 : 1) - (known === null ? 0 : 1);
    books.variants += (row?.variants.length ?? 0) - (old?.variants.length ?? 0);
  }

  #refer({ body, length }: Variant, change: 1 | -1): void {
    if (body.kind === "inline") return;
    const { bodies } = this.#tables;
    const hash = Buffer.from(body.hash);
    const known = bodies.getBinary(hash);
    const times = (known === undefined ? 0 : known.readUInt32LE(0)) + change;
    if (times > 0) {
      const value = Buffer.alloc(4 + 8);
      value.writeUInt32LE(times, 0);
      value.writeDoubleLE(length, 4);
      bodies.putSync(hash, value);
      this.#unreferred.delete(hash.toString("hex"));
      if (known === undefined) this.#books.bytes += length;
    } else if (known !== undefined) {
      bodies.removeSync(hash);
      this.#unreferred.set(hash.toString("hex"), hash);
      this.#books.bytes -= length;
    }
  }
}

interface Known {
  readonly value: Buffer;
  /** null = it is not what was written. */
  readonly row: Row | null;
}

/** Keys of a table that begin so, from `from` on. */
export function keysFrom(
  table: Tables["rows"],
  prefix: Uint8Array,
  from: Buffer | null,
  limit: number,
): readonly Buffer[] {
  const start = from === null ? Buffer.from(prefix) : Buffer.concat([from, Buffer.of(0)]);
  return [...table.getKeys({ start, end: endOfPrefix(prefix), limit })];
}
