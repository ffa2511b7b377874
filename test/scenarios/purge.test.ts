/**
 * Purges, by the admin API and by the command: what was kept before one is given to nobody when it is answered, neither
 * from memory nor from the store, by this process or the next. And the store itself: what a process kept is there for the
 * next one.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  bodyOf,
  type CachedOrigin,
  type CachedProxy,
  HOST,
  startCachedOrigin,
  startCachedProxy,
} from "../support/cached.js";
import { newFolder } from "../support/store.js";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

/** Short and long bodies, with and without tags. */
const PATHS = ["/100/a/1?tags=red", "/100/a/2?tags=red,blue", "/200000/b/1?tags=blue", "/100/b/2"] as const;

interface Stage {
  readonly origin: CachedOrigin;
  readonly folder: string;
  proxy: CachedProxy;
  readonly restart: () => Promise<void>;
}

async function stageFor(test: TestContext): Promise<Stage> {
  const { folder, remove } = newFolder();
  const origin = await startCachedOrigin();
  const start = async () => {
    const proxy = await startCachedProxy(origin.port, folder);
    await proxy.storeIs(({ state }) => state === "ready");
    return proxy;
  };
  const stage: Stage = {
    origin,
    folder,
    proxy: await start(),
    restart: async () => {
      await stage.proxy.millrace.stop();
      stage.proxy = await start();
    },
  };
  test.after(async () => {
    await stage.proxy.millrace.stop();
    await origin.close();
    remove();
  });
  return stage;
}

/** Asks for all paths; returns those that the origin was asked for. */
async function askAll({ proxy, origin }: Stage): Promise<readonly string[]> {
  origin.asked.length = 0;
  for (const path of PATHS) {
    const { status, body } = await proxy.get(path);
    assert.equal(status, 200);
    assert.ok(body.equals(bodyOf(path, Number(path.split("/")[1]))), `${path}: wrong bytes`);
  }
  return [...origin.asked];
}

async function fill(stage: Stage): Promise<void> {
  assert.deepEqual(await askAll(stage), PATHS);
  await stage.proxy.storeIs(({ variants }) => variants === PATHS.length);
  assert.deepEqual(await askAll(stage), []);
}

describe("a store behind the cache", () => {
  it("has for the next process what this one kept, short and long", async (test) => {
    const stage = await stageFor(test);
    await fill(stage);
    await stage.restart();
    assert.deepEqual(await askAll(stage), [], "all from the store");
    await stage.proxy.storeIs(({ hits }) => hits === PATHS.length);
    assert.deepEqual(await askAll(stage), [], "all from memory now");
  });
});

describe("the queue of the store", () => {
  it("has its bound: what finds no room in it is kept in memory only, and counted", async (test) => {
    const { folder, remove } = newFolder();
    const origin = await startCachedOrigin();
    const proxy = await startCachedProxy(origin.port, folder, { queueBytes: 1024 * 1024 });
    test.after(async () => {
      await proxy.millrace.stop();
      await origin.close();
      remove();
    });
    await proxy.storeIs(({ state }) => state === "ready");
    for (const path of ["/2000000/long", "/100/short", "/2000000/long"]) await proxy.get(path);
    await proxy.storeIs(({ variants, refused }) => variants === 1 && refused === 1);
    assert.deepEqual(origin.asked, ["/2000000/long", "/100/short"]);
  });
});

describe("workers that die", () => {
  it("take nothing of the store with them: their successors read it", async (test) => {
    const stage = await stageFor(test);
    await fill(stage);
    for (let round = 0; round < 2; round += 1) {
      await stage.restart();
      const { millrace } = stage.proxy;
      const replaced = new Promise<void>((resolve) => {
        let left = 2;
        millrace.on("workerReplaced", () => {
          left -= 1;
          if (left === 0) resolve();
        });
      });
      assert.deepEqual(await askAll(stage), []);
      millrace.provokePanic(0);
      millrace.provokePanic(1);
      await replaced;
      assert.deepEqual(await askAll(stage), []);
      await stage.proxy.admin("POST", "/cache/purge", { tag: "red" });
      assert.deepEqual(await askAll(stage), [PATHS[0], PATHS[1]]);
      await stage.proxy.storeIs(({ variants, waiting }) => variants === PATHS.length && waiting === 0);
    }
  });
});

describe("a purge", () => {
  const host = `http://${HOST}`;
  const cases = [
    ["a tag", { tag: "red" }, [PATHS[0], PATHS[1]]],
    ["everything", { everything: true }, PATHS],
  ] as const;

  for (const [what, input, gone] of cases) {
    it(`of ${what} holds when it is answered, in memory, in the store, and for the next process`, async (test) => {
      const stage = await stageFor(test);
      await fill(stage);
      const { status, body } = await stage.proxy.admin("POST", "/cache/purge", input);
      assert.equal(status, 200, body.toString());
      assert.deepEqual(await askAll(stage), gone);
      await stage.proxy.storeIs(({ waiting }) => waiting === 0);
      await stage.proxy.admin("POST", "/cache/purge", input);
      await stage.restart();
      assert.deepEqual(await askAll(stage), gone);
    });
  }

  it("of a URL or of all that begin so is for the keys that routes make of it", async (test) => {
    const stage = await stageFor(test);
    await fill(stage);
    const one = await stage.proxy.admin("POST", "/cache/purge", { url: `${host}${PATHS[3]}` });
    assert.deepEqual(JSON.parse(one.body.toString()).keys, [`${host}${PATHS[3]}`]);
    assert.deepEqual(await askAll(stage), [PATHS[3]]);
    await stage.proxy.admin("POST", "/cache/purge", { prefix: `${host}/100/a/` });
    assert.deepEqual(await askAll(stage), [PATHS[0], PATHS[1]]);
  });

  it("that is soft leaves it there, to be validated", async (test) => {
    const stage = await stageFor(test);
    await fill(stage);
    await stage.proxy.admin("POST", "/cache/purge", { tag: "red", soft: true });
    const found = await stage.proxy.admin("GET", `/cache/entry?url=${encodeURIComponent(`${host}${PATHS[0]}`)}`);
    const [entry] = JSON.parse(found.body.toString()).entries;
    assert.deepEqual([entry.memory.length, entry.memory[0].stale, entry.store.length], [1, true, 1]);
    assert.ok(entry.store[0].softPurgedMs > 0);
    assert.deepEqual(await askAll(stage), [PATHS[0], PATHS[1]], "the origin is asked whether they are still so");
  });

  it("that is none is refused with a problem document that says why", async (test) => {
    const stage = await stageFor(test);
    const refused = async (input: unknown) => {
      const { status, headers, body } = await stage.proxy.admin("POST", "/cache/purge", input);
      assert.equal(status, 400);
      assert.match(String(headers["content-type"]), /^application\/problem\+json/);
      return JSON.parse(body.toString()).detail as string;
    };
    assert.match(await refused({}), /a purge names one of url, prefix, tag and everything/);
    assert.match(await refused({ tag: "a", url: "http://a/" }), /a purge names one of/);
    assert.match(await refused({ tga: "a" }), /"tga" is not known/);
    assert.match(await refused({ tag: "two words" }), /"two words" is not a tag/);
    assert.match(await refused({ url: "/a" }), /"\/a" must be http/);
    assert.match(await refused({ everything: false }), /everything must be true/);
    assert.match(await refused({ tag: "a", soft: 1 }), /soft must be true or false/);
    assert.equal((await stage.proxy.admin("POST", "/cache/purge", ["a"])).status, 400);
  });

  it("is given on the command line, too", async (test) => {
    const stage = await stageFor(test);
    await fill(stage);
    const run = (...words: string[]) =>
      promisify(execFile)(process.execPath, [
        PROGRAM,
        "purge",
        "--admin",
        `127.0.0.1:${stage.proxy.adminPort}`,
        ...words,
      ]);
    assert.equal((await run("--tag", "blue")).stdout, "tag blue is purged\n");
    assert.deepEqual(await askAll(stage), [PATHS[1], PATHS[2]]);
    assert.equal((await run("--all", "--soft")).stdout, "everything is stale\n");
    assert.deepEqual(await askAll(stage), PATHS);
    await assert.rejects(run("--all", "--tag", "a"), /needs one of --url, --prefix, --tag and --all/);
  });
});
