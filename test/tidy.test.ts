/**
 * Keeps the tree tidy: import rules, file headers, lengths, rooms for unsafe code, mentions in prose, generated files.
 * Each test is a rule of docs/STYLE.md or docs/ARCHITECTURE.md that would otherwise be kept by memory.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { generatedFiles } from "../scripts/generated.js";
import { cycles, deadFiles, forbiddenImports, importsAmong } from "./tidy/imports.js";
import { brokenRatchet, type Lengths, overlong } from "./tidy/lengths.js";
import { type Lock, unlocked } from "./tidy/lock.js";
import { deadLinks, lineCitations, missingFiles } from "./tidy/mentions.js";
import { allPaths, isGenerated, ROOT, type Source, sources } from "./tidy/sources.js";

const typescript = sources("ts", "tsx");
const rust = sources("rs");
const pages = sources("md");
const code = [...typescript, ...rust, ...sources("mjs")];

/** The only files where `unsafe` may stand. */
const UNSAFE_ROOMS: Readonly<Record<string, string>> = {
  "native-bindings/engine/src/sys.rs": "system calls",
  "native-bindings/addon/src/loop_bridge.rs": "libuv handles and calls into JavaScript",
  "native-bindings/addon/src/inherited.rs": "descriptors this process was started with, by their numbers",
  "native-bindings/addon/src/mailbox.rs": "the stats block in JavaScript's memory",
  "native-bindings/fuzz/src/coverage.rs": "coverage counters in a section only the linker knows; never part of a proxy",
  "native-bindings/engine/tests/support/allocator.rs": "an allocator that counts, for tests only",
};

/** Fails with every finding on a line of its own. */
function expectNone(findings: readonly string[]): void {
  assert.equal(findings.length, 0, `\n${findings.join("\n")}`);
}

describe("imports", () => {
  const imports = importsAmong(typescript);

  it("follow the rules of the areas", () => expectNone(forbiddenImports(imports)));

  it("make no circle", () => expectNone(cycles(imports)));

  it("reach every file of the control plane and the workers", () => expectNone(deadFiles(typescript, imports)));

  it("reach the addon through one door only", () => {
    const doors = typescript.filter((file) => /^(src|workers)\//.test(file.path));
    const others = doors.filter(
      (file) => file.path !== "src/native.ts" && /createRequire|process\.dlopen/.test(file.text),
    );
    expectNone(others.map((file) => `${file.path} loads the addon itself`));
  });
});

describe("files", () => {
  it("open with a comment that says their purpose", () => {
    const opening = (file: Source) => file.text.replace(/^#!.*\n/, "");
    const bare = code.filter((file) => !/^(\/\*\*|\/\/!)/.test(opening(file)));
    expectNone(bare.map((file) => `${file.path} does not say its purpose at its top`));
  });

  it("and functions keep their bounds, and what is over them only shrinks", () => {
    const baseline = JSON.parse(readFileSync(join(ROOT, "test", "tidy-baseline.json"), "utf8")) as Lengths;
    expectNone(brokenRatchet(overlong(code.filter((file) => !isGenerated(file))), baseline));
  });

  it("leave no marks of unfinished work", () => {
    const mark = new RegExp(
      `\\b(${["TO", "FIX"].map((half) => `${half}${half === "TO" ? "DO" : "ME"}`).join("|")})\\b`,
    );
    expectNone(code.filter((file) => mark.test(file.text)).map((file) => `${file.path} has a mark of unfinished work`));
  });

  it("that are generated are fresh", () => {
    const stale = generatedFiles().filter((file) => readFileSync(join(ROOT, file.path), "utf8") !== file.text);
    expectNone(stale.map((file) => `${file.path} is stale; run "npm run generate"`));
  });
});

describe("unsafe code", () => {
  it("stays in its rooms", () => {
    const found = rust.filter(
      (file) =>
        file.path.startsWith("native-bindings/") &&
        UNSAFE_ROOMS[file.path] === undefined &&
        file.lines.some((line) => /\bunsafe\b/.test(line.replace(/\/\/.*$/, "").replace(/"(?:[^"\\]|\\.)*"/g, '""'))),
    );
    expectNone(found.map((file) => `${file.path} has unsafe code outside the rooms for it`));
  });
});

describe("prose", () => {
  it("names files that are there", () => expectNone(missingFiles([...pages, ...code], allPaths())));

  it("links to what is there", () => expectNone(deadLinks(pages)));

  it("cites code by symbol, never by line", () => expectNone(lineCitations([...pages, ...code])));
});

describe("the package", () => {
  it("tells nobody where its dependencies were fetched from", () => {
    assert.doesNotMatch(readFileSync(join(ROOT, "package-lock.json"), "utf8"), /"resolved"|https?:\/\/registry/);
  });

  it("has a lock with an entry for every package it names, so that `npm ci` takes it on any system", () => {
    const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as Lock;
    expectNone(unlocked(lock));
  });
});
