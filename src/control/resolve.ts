/**
 * Resolves the host names of targets once, at start. Every address of a name becomes a target.
 */
import { lookup } from "node:dns/promises";
import { MillraceError, messageOf } from "../shared/errors.js";

/** Looks a name up; replaced in tests. */
export type LookUp = (name: string) => Promise<readonly string[]>;

/**
 * The addresses of each name, in the resolver's order, without duplicates.
 *
 * @throws MillraceError `MILLRACE_RESOLVE` naming every name that does not resolve.
 */
export async function resolveNames(
  names: readonly string[],
  lookUp: LookUp = lookUpAll,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const addresses = new Map<string, readonly string[]>();
  const failures: string[] = [];
  await Promise.all(
    names.map(async (name) => {
      try {
        addresses.set(name, [...new Set(await lookUp(name))]);
      } catch (thrown) {
        failures.push(`the target name "${name}" does not resolve (${codeOf(thrown)})`);
      }
    }),
  );
  if (failures.length > 0) throw new MillraceError("MILLRACE_RESOLVE", failures.sort().join("; "));
  return addresses;
}

async function lookUpAll(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true });
  return found.map((entry) => entry.address);
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : messageOf(thrown);
}
