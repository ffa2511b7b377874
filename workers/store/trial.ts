/**
 * The trial of a store: a process of its own that reads all of it before the proxy does. LMDB trusts its pages: a damaged
 * one may be an error, or the end of the process that reads it, and that must not be the proxy. Prints what it found as
 * one JSON line; whatever else it does, the store is not fit to be opened.
 */
import { type Books, readBooks } from "./change.js";
import { tagsOf, unpackRow, weightOf } from "./rows.js";
import { openTables } from "./tables.js";

/** What a trial came to. */
export interface TrialResult {
  /** Rows that are not what was written. */
  readonly broken: number;
  /** Whether indexes and books are those of the rows. */
  readonly exact: boolean;
}

function tryStore(folder: string, bytes: number): TrialResult {
  const tables = openTables(folder, bytes);
  const counted = { targets: 0, variants: 0, bytes: 0 };
  let [broken, tags] = [0, 0];
  for (const { key, value } of tables.rows.getRange({})) {
    const row = unpackRow(value);
    if (row === null) {
      broken += 1;
      continue;
    }
    const own = tagsOf(row);
    counted.targets += 1;
    counted.variants += row.variants.length;
    counted.bytes += weightOf(key, value, own);
    tags += own.size;
  }
  for (const { value } of tables.bodies.getRange({})) counted.bytes += value.readDoubleLE(4);
  const books: Books = readBooks(tables);
  const inOrder = tables.order.getKeysCount({});
  const inTags = tables.tags.getKeysCount({});
  for (const { value } of tables.purges.getRange({})) value.length;
  const exact =
    !books.damaged &&
    broken === 0 &&
    books.targets === counted.targets &&
    books.variants === counted.variants &&
    books.bytes === counted.bytes &&
    inOrder === counted.targets &&
    inTags === tags;
  return { broken, exact };
}

const [folder = "", bytes = "0"] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(tryStore(folder, Number(bytes)))}\n`);
