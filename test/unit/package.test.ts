/**
 * Promises of the packages: they hold what is needed and nothing else, linters of packages find nothing, and in an empty
 * project they install and run, with the native core of the platform's package or one that was built there.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { nativePath } from "../../src/native.js";
import { VERSION } from "../../src/version.js";
import { missing } from "../support/peers.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "millrace-package-"));
const project = join(folder, "project");
/** Packages by name: their tarballs. */
const tarballs = new Map<string, string>();
const HERE = /linux-[a-z0-9]+-[a-z]+/.exec(nativePath())?.[0] ?? "";
const PLATFORM = `@millrace/${HERE}`;

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(program: string, options: readonly string[], cwd: string, more: NodeJS.ProcessEnv = {}): Ran {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(MILLRACE_|npm_)/.test(name));
  const env = { ...Object.fromEntries(inherited), ...more };
  const { status, stdout, stderr } = spawnSync(program, options, { cwd, env, encoding: "utf8" });
  return { code: status, out: stdout, err: stderr };
}

function entriesOf(tarball: string): readonly string[] {
  const listed = run("tar", ["-tzf", tarball], folder);
  assert.equal(listed.code, 0, listed.err);
  return listed.out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^package\//, ""));
}

/** Where a package is unpacked. */
function unpacked(name: string): string {
  const place = join(folder, "unpacked", name.replace("/", "-"));
  mkdirSync(place, { recursive: true });
  assert.equal(run("tar", ["-xzf", tarballs.get(name) ?? "", "-C", place], folder).code, 0);
  return join(place, "package");
}

before(() => {
  const packed = run(process.execPath, [join(ROOT, "scripts/pack.mjs"), folder], ROOT);
  assert.equal(packed.code, 0, packed.err);
  for (const line of packed.out.trim().split("\n")) {
    const [name = "", tarball = ""] = line.split(" ");
    tarballs.set(name, tarball);
  }
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe("the packages", () => {
  it("are Millrace and one for each platform whose core is built", () => {
    assert.deepEqual([...tarballs.keys()].sort(), [PLATFORM, "millrace"].sort());
  });

  it("hold what is needed, and nothing of tests, benches or this machine", () => {
    const own = entriesOf(tarballs.get("millrace") ?? "");
    const tops = new Set(
      own.map((path) =>
        path
          .split("/")
          .slice(0, path.startsWith("dist/") ? 2 : 1)
          .join("/"),
      ),
    );
    assert.deepEqual([...tops].sort(), [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "dist/src",
      "dist/workers",
      "docs",
      "examples",
      "native-bindings",
      "package.json",
      "scripts",
    ]);
    for (const path of [
      "dist/src/cli/main.js",
      "dist/src/index.d.ts",
      "native-bindings/Cargo.lock",
      "docs/millrace.1",
    ]) {
      assert.ok(own.includes(path), path);
    }
    assert.deepEqual(
      own.filter((path) => /\.node$|^test\/|(^|\/)(target|node_modules)\//.test(path)),
      [],
    );
    const text = readFileSync(join(unpacked("millrace"), "package.json"), "utf8");
    assert.doesNotMatch(text, /"(scripts|devDependencies)"/);
    assert.deepEqual(entriesOf(tarballs.get(PLATFORM) ?? "").toSorted(), [
      "LICENSE",
      "README.md",
      "millrace.node",
      "package.json",
    ]);
  });

  it("name each other by one version, and a platform's package installs on that platform only", () => {
    const own = JSON.parse(readFileSync(join(unpacked("millrace"), "package.json"), "utf8"));
    const core = JSON.parse(readFileSync(join(unpacked(PLATFORM), "package.json"), "utf8"));
    assert.deepEqual(own.optionalDependencies, { [PLATFORM]: VERSION });
    assert.deepEqual([core.version, core.os, core.cpu], [VERSION, ["linux"], [process.arch]]);
    assert.deepEqual(core.libc, [HERE.endsWith("musl") ? "musl" : "glibc"]);
  });

  it("name no platform's package in the repository, where nobody has published one", () => {
    const own = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    assert.equal(own.optionalDependencies, undefined);
  });

  for (const name of ["millrace", PLATFORM]) {
    it(`are ones that publint finds nothing about: ${name}`, async () => {
      const pkgDir = unpacked(name);
      const { messages, pkg } = await publint({ pkgDir, level: "suggestion", strict: true, pack: false });
      assert.deepEqual(
        messages.map((message) => formatMessage(message, pkg)),
        [],
      );
    });
  }

  it("hold sources of the native core that cargo finds whole", { skip: missing("cargo") }, () => {
    const manifest = join(unpacked("millrace"), "native-bindings", "Cargo.toml");
    const options = [
      "metadata",
      "--no-deps",
      "--format-version",
      "1",
      "--locked",
      "--offline",
      "--manifest-path",
      manifest,
    ];
    const read = run("cargo", options, folder);
    assert.equal(read.code, 0, read.err);
    const { packages } = JSON.parse(read.out) as { readonly packages: readonly { readonly name: string }[] };
    assert.ok(packages.some(({ name }) => name === "millrace-addon"));
  });
});

describe("in an empty project", () => {
  /** npm looks for what else is needed in its cache first. */
  const install = (...names: readonly string[]): void => {
    rmSync(project, { recursive: true, force: true });
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "name": "project", "private": true, "type": "module" }\n');
    const options = ["install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", ...names];
    const installed = run("npm", options, project);
    assert.equal(installed.code, 0, installed.err);
  };
  const millrace = (options: readonly string[], more: NodeJS.ProcessEnv = {}): Ran =>
    run(join(project, "node_modules/.bin/millrace"), options, project, more);

  it("Millrace installs with its platform's core and without scripts, and forwards", { timeout: 120_000 }, () => {
    install(tarballs.get("millrace") ?? "", tarballs.get(PLATFORM) ?? "");
    const version = millrace(["version", "--json"]);
    assert.equal(version.code, 0, version.err);
    assert.equal(JSON.parse(version.out).core, VERSION);
    writeFileSync(
      join(project, "program.mjs"),
      `import { createServer } from "node:http";
import { createMillrace } from "millrace";
const origin = createServer((request, response) => response.end("origin saw " + request.url));
await new Promise((resolve) => origin.listen(0, "127.0.0.1", resolve));
const target = "http://127.0.0.1:" + origin.address().port;
const settings = { listeners: ["127.0.0.1:0"], origins: { app: { targets: target } }, log: { level: "silent" } };
const proxy = createMillrace(settings);
const { listeners } = await proxy.start();
console.log(await (await fetch("http://127.0.0.1:" + listeners[0].port + "/way")).text());
await proxy.stop({ deadlineMs: 100 });
origin.close();
origin.closeAllConnections();
`,
    );
    const ran = run(process.execPath, ["program.mjs"], project);
    assert.deepEqual([ran.code, ran.out], [0, "origin saw /way\n"], ran.err);
  });

  it("without a core it says how to build one, and build-native puts it where it is found", {
    timeout: 120_000,
  }, () => {
    install(tarballs.get("millrace") ?? "", "--omit=optional");
    assert.match(
      millrace(["version"]).out,
      /^core +not available: There is no .*"millrace build-native" builds it\.$/m,
    );
    // A compiler that is quick, since it has compiled this before: what is tried is the way of its work.
    const tools = join(folder, "tools");
    mkdirSync(join(tools, "release"), { recursive: true });
    writeFileSync(
      join(tools, "cargo"),
      `#!/bin/sh\ncase "$1" in --version) echo "cargo 1.90.0";; *) cp "${nativePath()}" "${tools}/release/libmillrace_addon.so";; esac\n`,
    );
    writeFileSync(join(tools, "rustc"), '#!/bin/sh\necho "rustc 1.90.0"\n');
    for (const tool of ["cargo", "rustc"]) chmodSync(join(tools, tool), 0o755);
    const built = millrace(["build-native"], { PATH: `${tools}:${process.env["PATH"]}`, CARGO_TARGET_DIR: tools });
    assert.equal(built.code, 0, built.err);
    assert.equal(built.out, `${join(project, "node_modules/millrace/native-bindings", `millrace.${HERE}.node`)}\n`);
    assert.match(millrace(["version"]).out, new RegExp(`^core +${VERSION}$`, "m"));
  });

  it("build-native without a compiler says what is missing, and builds nothing", { timeout: 120_000 }, () => {
    const bare = join(folder, "bare");
    mkdirSync(bare, { recursive: true });
    const tried = run(process.execPath, [join(project, "node_modules/.bin/millrace"), "build-native"], project, {
      PATH: bare,
    });
    assert.equal(tried.code, 1);
    assert.match(tried.err, /Rust 1\.85 or newer is needed/);
  });
});
