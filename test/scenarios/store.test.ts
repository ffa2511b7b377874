/**
 * A proxy with a store: it has its folder for itself, another proxy with the same one does not start, and what is no store
 * is left alone.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { createMillrace, type Millrace } from "../../src/millrace.js";
import { newFolder } from "../support/store.js";

function proxyWith(folder: string): Millrace {
  return createMillrace({
    listeners: ["127.0.0.1:0"],
    workers: 1,
    log: { level: "fatal" },
    origins: { api: { targets: "127.0.0.1:9" } },
    routes: [{ forwardTo: "api", cache: true }],
    cache: { store: { folder } },
  });
}

describe("a proxy with a store", () => {
  it("has the folder for itself while it runs; another one with it does not start, and says why", async (test) => {
    const { folder, remove } = newFolder();
    test.after(remove);
    const [first, second] = [proxyWith(folder), proxyWith(folder)];
    await first.start();
    await assert.rejects(second.start(), /The store cannot be opened: .* is the store of another proxy that runs/);
    assert.equal(first.state, "running");
    await first.stop();
    await second.start();
    await second.stop();
    assert.ok(existsSync(join(folder, "format.json")));
  });

  it("does not start in a folder that holds other things, and touches none of them", async (test) => {
    const { folder, remove } = newFolder();
    test.after(remove);
    mkdirSync(folder);
    writeFileSync(join(folder, "thesis.txt"), "mine");
    await assert.rejects(
      proxyWith(folder).start(),
      /holds "thesis.txt", which is not of a store; name an empty folder/,
    );
    assert.deepEqual(readdirSync(folder), ["thesis.txt"]);
  });
});
