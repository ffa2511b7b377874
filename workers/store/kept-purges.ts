/**
 * Purges as they stand in their table until they were carried out, and the opening of the store they are compared in.
 */
import { Packr } from "msgpackr";
import { readBooks } from "./change.js";
import type { KeptPurge } from "./purges.js";
import type { Tables } from "./tables.js";

const packr = new Packr({ useRecords: false });

export interface NumberedPurge {
  readonly number: number;
  readonly purge: KeptPurge;
}

export function readKeptPurges(tables: Tables): { readonly run: number; readonly purges: readonly NumberedPurge[] } {
  const purges = [...tables.purges.getRange({})].map(({ key, value }) => ({
    number: key,
    purge: packr.unpack(value) as KeptPurge,
  }));
  return { run: readBooks(tables).run, purges };
}

export function packPurge(purge: KeptPurge): Buffer {
  return packr.pack(purge);
}
