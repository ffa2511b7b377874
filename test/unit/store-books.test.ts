/**
 * Properties of the store against a model of it: whatever is put, removed and purged, what is read back is what the model
 * has, the index of tags is exact in both directions, and the books are what the tables hold.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { StoreWrite } from "../../src/shared/store.js";
import { readBooks } from "../../workers/store/change.js";
import { keyOf, tagKeyOf, tagsOf, unpackRow, weightOf } from "../../workers/store/rows.js";
import { openTables, type Tables } from "../../workers/store/tables.js";
import { newFolder, openStore, purgeOf, put, readAll } from "../support/store.js";

const TARGETS = ["http://a/", "http://a/1", "http://a/12", "http://b/1", `http://a/${"long".repeat(400)}`] as const;
const IDS = ["", "br", "gzip"] as const;
const TAGS = ["red", "green", "blue"] as const;

type Step =
  | {
      readonly do: "put";
      readonly target: string;
      readonly id: string;
      readonly size: number;
      readonly tags: readonly string[];
    }
  | { readonly do: "remove"; readonly target: string; readonly id: string }
  | { readonly do: "removeTarget"; readonly target: string }
  | { readonly do: "removeTag"; readonly tag: string }
  | { readonly do: "purgeTarget"; readonly name: string }
  | { readonly do: "purgeTag"; readonly name: string }
  | { readonly do: "purgePrefix"; readonly name: string }
  | { readonly do: "purgeAll" }
  | { readonly do: "chore" }
  | { readonly do: "reopen" };

const target = fc.constantFrom(...TARGETS);
const tag = fc.constantFrom(...TAGS);
const aPut = fc.record({
  do: fc.constant("put" as const),
  target,
  id: fc.constantFrom(...IDS),
  size: fc.constantFrom(0, 10, 3000, 9000),
  tags: fc.subarray([...TAGS]),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: aPut },
  fc.record({ do: fc.constant("remove" as const), target, id: fc.constantFrom(...IDS) }),
  fc.record({ do: fc.constant("removeTarget" as const), target }),
  fc.record({ do: fc.constant("removeTag" as const), tag }),
  fc.record({ do: fc.constant("purgeTarget" as const), name: target }),
  fc.record({ do: fc.constant("purgeTag" as const), name: tag }),
  fc.record({
    do: fc.constant("purgePrefix" as const),
    name: fc.constantFrom("http://a/", "http://a/1", "http://a/long"),
  }),
  fc.record({ do: fc.constant("purgeAll" as const) }),
  { weight: 3, arbitrary: fc.record({ do: fc.constant("chore" as const) }) },
  fc.record({ do: fc.constant("reopen" as const) }),
);

interface Kept {
  readonly body: Buffer;
  readonly tags: readonly string[];
}

/** Targets and ids → what is kept. */
type Model = Map<string, Map<string, Kept>>;

/** What a step takes away. */
function isDropped(one: Step, name: string, id: string, { tags }: Kept): boolean {
  switch (one.do) {
    case "remove":
      return name === one.target && id === one.id;
    case "removeTarget":
      return name === one.target;
    case "purgeTarget":
      return name === one.name;
    case "removeTag":
      return tags.includes(one.tag);
    case "purgeTag":
      return tags.includes(one.name);
    case "purgePrefix":
      return name.startsWith(one.name);
    case "purgeAll":
      return true;
    default:
      return false;
  }
}

/** What a step does to the model. Puts are newer than all purges before them. */
function applyToModel(model: Model, one: Step, body: Buffer): void {
  if (one.do === "put") {
    const variants = model.get(one.target) ?? new Map<string, Kept>();
    variants.set(one.id, { body, tags: one.tags });
    model.set(one.target, variants);
  }
  for (const [name, variants] of model) {
    for (const [id, kept] of variants) if (isDropped(one, name, id, kept)) variants.delete(id);
  }
}

async function applyToStore({ store }: Awaited<ReturnType<typeof openStore>>, one: Step, body: Buffer, stamp: number) {
  const change = (write: StoreWrite) => store.apply([write]);
  switch (one.do) {
    case "put":
      return change(put({ ...one, body, stamp }));
    case "remove":
      return change({ kind: "remove", target: Buffer.from(one.target), variantId: Buffer.from(one.id) });
    case "removeTarget":
      return change({ kind: "removeTarget", target: Buffer.from(one.target), stamp });
    case "removeTag":
      return change({ kind: "removeTag", tag: Buffer.from(one.tag), stamp });
    case "purgeTarget":
      return store.purge(purgeOf({ kind: "target", name: one.name }, { stamp }));
    case "purgeTag":
      return store.purge(purgeOf({ kind: "tag", name: one.name }, { stamp }));
    case "purgePrefix":
      return store.purge(purgeOf({ kind: "prefix", name: one.name }, { stamp }));
    case "purgeAll":
      return store.purge(purgeOf({ kind: "all" }, { stamp }));
    case "chore":
      while (await store.chore());
      return;
    case "reopen":
  }
}

/** What the tables hold is what the books and the index of tags say. */
function assertExact(tables: Tables): void {
  const counted = { targets: 0, variants: 0, bytes: 0 };
  const indexed: string[] = [];
  const refers = new Map<string, number>();
  for (const { key, value } of tables.rows.getRange({})) {
    const row = unpackRow(value);
    assert.ok(row !== null && row.variants.length > 0);
    assert.deepEqual(Buffer.from(key), keyOf(row.target));
    counted.targets += 1;
    counted.variants += row.variants.length;
    counted.bytes += weightOf(key, value, tagsOf(row));
    for (const one of tagsOf(row)) indexed.push(tagKeyOf(one, key).toString("hex"));
    for (const { body } of row.variants) {
      if (body.kind === "file") {
        const name = Buffer.from(body.hash).toString("hex");
        refers.set(name, (refers.get(name) ?? 0) + 1);
      }
    }
    assert.deepEqual(tables.order.getBinary(row.place), Buffer.from(key));
  }
  for (const { key, value } of tables.bodies.getRange({})) {
    counted.bytes += value.readDoubleLE(4);
    assert.equal(value.readUInt32LE(0), refers.get(Buffer.from(key).toString("hex")));
    refers.delete(Buffer.from(key).toString("hex"));
  }
  assert.equal(refers.size, 0);
  const { targets, variants, bytes } = readBooks(tables);
  assert.deepEqual({ targets, variants, bytes }, counted);
  assert.equal(tables.order.getKeysCount({}), targets);
  const inIndex = [...tables.tags.getKeys({})].map((key) => Buffer.from(key).toString("hex"));
  assert.deepEqual(inIndex.sort(), indexed.sort());
}

describe("the store, whatever is done to it", () => {
  it("reads back what its model has, with an exact index of tags and exact books", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const { folder, remove } = newFolder();
        let opened = await openStore(folder, { bodyInlineBytes: 2000 });
        try {
          const model: Model = new Map();
          for (const [at, one] of steps.entries()) {
            const size = one.do === "put" ? one.size : 0;
            const body = Buffer.alloc(size, `${at % 3} `);
            if (one.do === "reopen") {
              await opened.close();
              opened = await openStore(folder, { bodyInlineBytes: 2000 });
              assert.deepEqual(opened.said, []);
            }
            applyToModel(model, one, body);
            await applyToStore(opened, one, body, at + 1);
            for (const name of TARGETS) {
              const expected = new Map([...(model.get(name) ?? [])].map(([id, kept]) => [id, kept.body]));
              assert.deepEqual(await readAll(opened.reader, name), expected, `${name} after step ${at}`);
            }
          }
          const tables = openTables(folder, 64 * 1024 * 1024);
          tables.root.resetReadTxn();
          assertExact(tables);
          assert.equal(await opened.store.sweep(), 0);
        } finally {
          await opened.close();
          remove();
        }
      }),
      { numRuns: 40 },
    );
  });
});
