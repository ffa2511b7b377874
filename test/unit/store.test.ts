/**
 * Promises of the store: what was put is read back whole or is absent, purges hold at once and for good, the quota and the
 * books are exact, and damage costs what is damaged.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { findOne, newFolder, type OpenedStore, openStore, purgeOf, put, readAll } from "../support/store.js";

const LONG = Buffer.alloc(10_000, "long ");

/** A folder that is gone after the test. */
function folderFor(test: TestContext): string {
  const { folder, remove } = newFolder();
  test.after(remove);
  return folder;
}

async function storeFor(test: TestContext, more: Parameters<typeof openStore>[1] = {}): Promise<OpenedStore> {
  const opened = await openStore(folderFor(test), more);
  test.after(opened.close);
  return opened;
}

function bodyFiles(folder: string): string[] {
  const above = join(folder, "bodies");
  return readdirSync(above).flatMap((name) => readdirSync(join(above, name)).map((file) => join(above, name, file)));
}

async function finishChores({ store }: OpenedStore): Promise<void> {
  while (await store.chore());
}

describe("the store", () => {
  it("gives back what was put, short and long, every variant of a target", async (test) => {
    const opened = await storeFor(test);
    const { store, reader, facts } = opened;
    await store.apply([put({ target: "http://a/1" }), put({ target: "http://a/1", id: "gzip", body: LONG })]);
    assert.deepEqual(
      await readAll(reader, "http://a/1"),
      new Map([
        ["", Buffer.from("body")],
        ["gzip", LONG],
      ]),
    );
    assert.equal(Buffer.from(findOne(reader, "http://a/1")[0]?.meta ?? []).toString(), "meta of http://a/1 ");
    assert.deepEqual(await readAll(reader, "http://a/2"), new Map());
    assert.deepEqual([facts.get("targets"), facts.get("variants"), facts.get("writes")], [1, 2, 2]);
  });

  it("replaces a variant by the one with its id, and removes one or all", async (test) => {
    const { store, reader, facts } = await storeFor(test);
    await store.apply([put({ target: "t", body: LONG }), put({ target: "t", body: Buffer.from("new") })]);
    assert.deepEqual(await readAll(reader, "t"), new Map([["", Buffer.from("new")]]));
    await store.apply([put({ target: "t", id: "b" })]);
    await store.apply([{ kind: "remove", target: Buffer.from("t"), variantId: Buffer.from("") }]);
    assert.deepEqual([...(await readAll(reader, "t")).keys()], ["b"]);
    await store.apply([{ kind: "removeTarget", target: Buffer.from("t"), stamp: 1 }]);
    assert.deepEqual(await readAll(reader, "t"), new Map());
    assert.deepEqual([facts.get("targets"), facts.get("variants"), facts.get("bytes")], [0, 0, 0]);
  });

  it("keeps a long body once, however many refer to it, until nobody does", async (test) => {
    const folder = folderFor(test);
    const { store, facts, close } = await openStore(folder);
    test.after(close);
    await store.apply([put({ target: "a", body: LONG }), put({ target: "b", body: LONG })]);
    assert.equal(bodyFiles(folder).length, 1);
    const two = facts.get("bytes");
    await store.apply([{ kind: "removeTarget", target: Buffer.from("a"), stamp: 1 }]);
    assert.equal(bodyFiles(folder).length, 1);
    assert.ok(facts.get("bytes") > LONG.length && facts.get("bytes") < two);
    await store.apply([{ kind: "removeTarget", target: Buffer.from("b"), stamp: 1 }]);
    assert.deepEqual(bodyFiles(folder), []);
    assert.equal(facts.get("bytes"), 0);
  });

  it("tells long targets apart that begin alike", async (test) => {
    const { store, reader } = await storeFor(test);
    const [one, other] = [`http://a/${"x".repeat(3000)}1`, `http://a/${"x".repeat(3000)}2`];
    await store.apply([put({ target: one, body: Buffer.from("1") }), put({ target: other, body: Buffer.from("2") })]);
    assert.deepEqual((await readAll(reader, one)).get(""), Buffer.from("1"));
    assert.deepEqual((await readAll(reader, other)).get(""), Buffer.from("2"));
  });

  it("is there again when it is opened the next time, with its books", async (test) => {
    const folder = folderFor(test);
    const first = await openStore(folder);
    await first.store.apply([put({ target: "a", tags: ["x"] }), put({ target: "b", body: LONG })]);
    const bytes = first.facts.get("bytes");
    await first.close();
    const second = await openStore(folder);
    test.after(second.close);
    assert.deepEqual(second.said, []);
    assert.deepEqual([second.facts.get("targets"), second.facts.get("bytes")], [2, bytes]);
    assert.deepEqual((await readAll(second.reader, "b")).get(""), LONG);
    // A stamp of the process before says nothing in this one.
    assert.equal(findOne(second.reader, "a")[0]?.stamp, 0);
  });

  it("refuses a folder that another proxy uses, or that holds other things", async (test) => {
    const folder = folderFor(test);
    const first = await openStore(folder);
    await assert.rejects(openStore(folder), /is the store of another proxy that runs/);
    await first.close();
    await (await openStore(folder)).close();
    const other = folderFor(test);
    mkdirSync(other);
    writeFileSync(join(other, "thesis.txt"), "mine");
    await assert.rejects(openStore(other), /holds "thesis.txt", which is not of a store/);
    assert.ok(existsSync(join(other, "thesis.txt")));
  });
});

describe("purges of the store", () => {
  const filled = async (test: TestContext) => {
    const opened = await storeFor(test);
    await opened.store.apply([
      put({ target: "http://a/x/1", tags: ["red"] }),
      put({ target: "http://a/x/2", tags: ["red", "blue"], body: LONG }),
      put({ target: "http://a/y", tags: ["blue"] }),
      put({ target: "http://b/x/1" }),
    ]);
    const left = () =>
      ["http://a/x/1", "http://a/x/2", "http://a/y", "http://b/x/1"].filter(
        (target) => findOne(opened.reader, target).length > 0,
      );
    return { ...opened, opened, left };
  };

  it("by target, prefix, tag and of everything hold when they return, and after they were carried out", async (test) => {
    const cases = [
      [{ kind: "target", name: "http://a/x/1" }, ["http://a/x/2", "http://a/y", "http://b/x/1"]],
      [{ kind: "prefix", name: "http://a/x/" }, ["http://a/y", "http://b/x/1"]],
      [{ kind: "tag", name: "red" }, ["http://a/y", "http://b/x/1"]],
      [{ kind: "all" }, []],
    ] as const;
    for (const [scope, expected] of cases) {
      const { store, opened, left, facts } = await filled(test);
      assert.equal(left().length, 4);
      await store.purge(purgeOf(scope));
      assert.deepEqual(left(), expected);
      await finishChores(opened);
      assert.deepEqual(left(), expected);
      assert.equal(facts.get("targets"), expected.length, "what is purged is taken off the disk");
    }
  });

  it("leave what was asked for after them, and take what was asked for before them and comes late", async (test) => {
    const { store, left } = await filled(test);
    await store.purge(purgeOf({ kind: "tag", name: "red" }, { stamp: 5 }));
    await store.apply([put({ target: "http://a/x/1", tags: ["red"], stamp: 5 })]);
    await store.apply([put({ target: "http://a/x/2", tags: ["red"], stamp: 6 })]);
    assert.deepEqual(left(), ["http://a/x/2", "http://a/y", "http://b/x/1"]);
  });

  it("that are soft leave it there, stale from that moment on; the first moment counts", async (test) => {
    const { store, reader, opened } = await filled(test);
    const softOf = (target: string) => findOne(reader, target)[0]?.softMs;
    await store.purge(purgeOf({ kind: "tag", name: "red" }, { soft: true, atMs: 500 }));
    await store.purge(purgeOf({ kind: "all" }, { soft: true, atMs: 700 }));
    assert.deepEqual(["http://a/x/1", "http://a/y"].map(softOf), [500, 700]);
    await finishChores(opened);
    assert.deepEqual(["http://a/x/1", "http://a/y"].map(softOf), [500, 700]);
  });

  it("hold for the next process too, whether they were carried out or not", async (test) => {
    for (const isCarriedOut of [true, false]) {
      const folder = folderFor(test);
      const first = await openStore(folder);
      await first.store.apply([put({ target: "a", tags: ["t"], stamp: 9 }), put({ target: "b" })]);
      await first.store.purge(purgeOf({ kind: "tag", name: "t" }, { stamp: 9 }));
      if (isCarriedOut) await finishChores(first);
      await first.close();
      const second = await openStore(folder);
      assert.deepEqual(findOne(second.reader, "a"), []);
      assert.equal(findOne(second.reader, "b").length, 1);
      // Stamps begin anew with a process: what it asks for is newer than all that was purged before.
      await second.store.apply([put({ target: "a", tags: ["t"], stamp: 1 })]);
      assert.equal(findOne(second.reader, "a").length, 1);
      await second.close();
    }
  });
});

describe("the quota of the store", () => {
  it("is never exceeded, and what was asked for outlives what was not", async (test) => {
    const bytes = 200_000;
    const { store, reader, facts } = await storeFor(test, { bytes });
    const name = (number: number) => `http://a/${number}`;
    for (let number = 0; number < 400; number += 1) {
      await store.apply([put({ target: name(number), body: Buffer.alloc(1000) })]);
      findOne(reader, name(0));
      assert.ok(facts.get("bytes") <= bytes, `${facts.get("bytes")} bytes`);
    }
    assert.equal(findOne(reader, name(0)).length, 1, "asked for all the time");
    assert.equal(findOne(reader, name(1)).length, 0, "asked for never");
    assert.equal(findOne(reader, name(399)).length, 1, "the newest");
    assert.equal(facts.get("targets") + facts.get("evictions"), 400);
  });

  it("counts long bodies, and holds when it was made smaller", async (test) => {
    const folder = folderFor(test);
    const first = await openStore(folder, { bytes: 300_000 });
    for (let number = 0; number < 40; number += 1) {
      await first.store.apply([put({ target: `t${number}`, body: Buffer.alloc(10_000, number) })]);
    }
    assert.ok(first.facts.get("bytes") <= 300_000 && first.facts.get("targets") >= 28);
    assert.equal(bodyFiles(folder).length, first.facts.get("targets"));
    await first.close();
    const second = await openStore(folder, { bytes: 50_000 });
    test.after(second.close);
    assert.ok(second.facts.get("bytes") <= 50_000);
    assert.equal(bodyFiles(folder).length, second.facts.get("targets"));
  });
});

describe("a damaged store", () => {
  it("gives a body that was changed or cut to nobody, and keeps it anew when it comes again", async (test) => {
    for (const damage of [
      (path: string) => writeFileSync(path, Buffer.alloc(LONG.length, "wrong")),
      (path: string) => truncateSync(path, 100),
    ]) {
      const folder = folderFor(test);
      const { store, reader, broken, close } = await openStore(folder);
      test.after(close);
      await store.apply([put({ target: "a", body: LONG }), put({ target: "b" })]);
      const [path = ""] = bodyFiles(folder);
      damage(path);
      assert.deepEqual(await readAll(reader, "a"), new Map([["", null]]));
      assert.deepEqual(broken, ["a"]);
      await store.apply([put({ target: "a", body: LONG })]);
      assert.deepEqual(await readAll(reader, "a"), new Map([["", LONG]]));
    }
  });

  it("of an older or a newer format is emptied, and says so", async (test) => {
    for (const [format, word] of [
      [0, "an older"],
      [99, "a newer"],
    ] as const) {
      const folder = folderFor(test);
      const first = await openStore(folder);
      await first.store.apply([put({ target: "a", body: LONG })]);
      await first.close();
      writeFileSync(join(folder, "format.json"), JSON.stringify({ format }));
      const second = await openStore(folder);
      assert.match(second.said.join(), new RegExp(`was emptied: it is of ${word} version`));
      assert.deepEqual(findOne(second.reader, "a"), []);
      assert.deepEqual(bodyFiles(folder), []);
      await second.close();
    }
  });

  it("whose tables were cut, or overwritten anywhere, never gives a wrong byte and never ends the process", async (test) => {
    const body = (number: number) => Buffer.alloc(600, `body ${number} `);
    const damages: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2)),
      (bytes) => bytes.subarray(0, 5000),
      ...Array.from({ length: 12 }, (_, which) => (bytes: Buffer) => {
        for (let at = 8192 + which * 97; at < bytes.length; at += 9973 * (which + 1))
          bytes[at] = (bytes[at] ?? 0) ^ 0x41;
        return bytes;
      }),
    ];
    for (const damage of damages) {
      const folder = folderFor(test);
      const first = await openStore(folder);
      const puts = Array.from({ length: 300 }, (_, number) =>
        put({ target: `t${number}`, body: body(number), tags: ["x"] }),
      );
      await first.store.apply(puts);
      await first.close();
      const path = join(folder, "tables", "data.mdb");
      writeFileSync(path, damage(readFileSync(path)));
      const second = await openStore(folder);
      for (let number = 0; number < 300; number += 1) {
        const found = (await readAll(second.reader, `t${number}`)).get("");
        if (found !== undefined) assert.deepEqual(found, body(number));
      }
      await second.store.apply([put({ target: "new" })]);
      assert.deepEqual((await readAll(second.reader, "new")).get(""), Buffer.from("body"));
      await second.close();
    }
  });

  it("drops the one entry whose row was changed, and keeps the others", async (test) => {
    const folder = folderFor(test);
    const first = await openStore(folder);
    await first.store.apply([put({ target: "a", body: Buffer.from("marker-of-a") }), put({ target: "b" })]);
    await first.close();
    const path = join(folder, "tables", "data.mdb");
    const bytes = readFileSync(path);
    for (let at = bytes.indexOf("marker-of-a"); at >= 0; at = bytes.indexOf("marker-of-a", at)) bytes[at] = 0x58;
    writeFileSync(path, bytes);
    const second = await openStore(folder);
    test.after(second.close);
    assert.match(second.said.join(), /were made anew; 1 damaged entries were dropped/);
    assert.deepEqual(findOne(second.reader, "a"), []);
    assert.equal(findOne(second.reader, "b").length, 1);
    assert.equal(second.facts.get("targets"), 1);
  });

  it("loses files that nothing refers to", async (test) => {
    const folder = folderFor(test);
    const { store, close } = await openStore(folder);
    test.after(close);
    await store.apply([put({ target: "a", body: LONG })]);
    mkdirSync(join(folder, "bodies", "ab"), { recursive: true });
    writeFileSync(join(folder, "bodies", "ab", "ab".repeat(32)), "orphan");
    writeFileSync(join(folder, "bodies", "ab", "junk"), "junk");
    assert.equal(await store.sweep(), 2);
    assert.equal(bodyFiles(folder).length, 1);
  });
});

describe("a store that cannot be written", () => {
  it("goes on in memory only, is still read, and takes changes again when it can", async (test) => {
    let [isBroken, nowMs] = [false, 1_000_000];
    const beforeCommit = () => {
      if (isBroken) throw new Error("no room");
    };
    const { store, reader, facts, said } = await storeFor(test, { beforeCommit, now: () => nowMs });
    await store.apply([put({ target: "a" })]);
    isBroken = true;
    await store.apply([put({ target: "b", body: LONG })]);
    await store.apply([put({ target: "c" })]);
    assert.deepEqual([facts.state, facts.get("writesLost"), findOne(reader, "a").length], ["memoryOnly", 2, 1]);
    assert.deepEqual(said.length, 1, "said once, not with every change");
    assert.match(said[0] ?? "", /takes no changes, what is new stays in memory: no room/);
    isBroken = false;
    await store.apply([put({ target: "d" })]);
    assert.equal(findOne(reader, "d").length, 0, "not tried with every change");
    nowMs += 60_000;
    await store.apply([put({ target: "e" })]);
    assert.deepEqual([facts.state, findOne(reader, "e").length], ["ready", 1]);
    assert.match(said[1] ?? "", /takes changes again/);
  });

  it("gives nothing away that was purged meanwhile, neither then nor to the next process", async (test) => {
    for (const endsBefore of [true, false]) {
      let [isBroken, nowMs] = [false, 1_000_000];
      const beforeCommit = () => {
        if (isBroken) throw new Error("no room");
      };
      const folder = folderFor(test);
      const first = await openStore(folder, { beforeCommit, now: () => nowMs });
      await first.store.apply([put({ target: "a", tags: ["t"] }), put({ target: "b" })]);
      isBroken = true;
      await first.store.purge(purgeOf({ kind: "tag", name: "t" }));
      assert.deepEqual(findOne(first.reader, "a"), []);
      if (!endsBefore) {
        isBroken = false;
        nowMs += 60_000;
        await first.store.chore();
        assert.deepEqual([findOne(first.reader, "a").length, findOne(first.reader, "b").length], [0, 1]);
      }
      await first.close();
      const second = await openStore(folder);
      assert.deepEqual(findOne(second.reader, "a"), []);
      assert.equal(findOne(second.reader, "b").length, endsBefore ? 0 : 1);
      assert.equal(/was emptied: a purge could not be written/.test(second.said.join()), endsBefore);
      await second.close();
    }
  });
});
