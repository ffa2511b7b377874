/**
 * A proxy with a store: it has its folder for itself, another proxy with the same one does not start, and what is no store
 * is left alone.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import type { Settings } from "../../src/config/settings.js";
import type { OwnProcess } from "../../src/control/handover.js";
import { Inherited } from "../../src/control/inherited.js";
import { Millrace } from "../../src/millrace.js";
import { newFolder } from "../support/store.js";

function settingsWith(folder: string): Settings {
  const checked = checkSettings({
    listeners: ["127.0.0.1:0"],
    workers: 1,
    log: { level: "fatal" },
    admin: { address: "127.0.0.1:0" },
    origins: { api: { targets: "127.0.0.1:9" } },
    routes: [{ forwardTo: "api", cache: true }],
    cache: { store: { folder } },
  });
  assert.ok(checked.ok);
  return checked.settings;
}

function proxyWith(folder: string): Millrace {
  return new Millrace(settingsWith(folder));
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

  it("waits for the folder while the process whose place it takes still has it, and serves meanwhile", async (test) => {
    const { folder, remove } = newFolder();
    test.after(remove);
    const first = proxyWith(folder);
    await first.start();
    const noUpgrade = { start: () => Promise.reject(new Error("nobody asks for one")) };
    const successor = { inherited: new Inherited(process.pid, []), upgrader: noUpgrade } as unknown as OwnProcess;
    const second = new Millrace(settingsWith(folder), successor);
    const { admin } = await second.start();
    const storeState = async () => {
      const answer = await fetch(`http://127.0.0.1:${admin?.port}/cache/store`);
      return ((await answer.json()) as { readonly store: { readonly state: string } }).store.state;
    };
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(await storeState(), "opening");
    await first.stop();
    for (const due = Date.now() + 20_000; (await storeState()) !== "ready"; )
      assert.ok(Date.now() < due, "it never opened");
    await second.stop();
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
