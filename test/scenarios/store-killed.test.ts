/**
 * The store survives the end of its process at any instant: entries are whole or absent, and the next process begins with
 * them. `npm run soak:store` does the same five hundred times.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newFolder } from "../support/store.js";
import { killRounds } from "../support/store-killed.js";

describe("a store whose process is killed while it writes", () => {
  it("has every entry whole or not at all, and exact books, twenty times over", async (test) => {
    const { folder, remove } = newFolder();
    test.after(remove);
    const { entries, faults } = await killRounds(folder, 20);
    assert.deepEqual(faults, []);
    assert.ok(entries > 1000, `${entries} entries were read back`);
  });
});
