/**
 * Promises of reloads as an operator meets them: what `millrace reload`, SIGHUP and `--watch` take, what they refuse with
 * which exit code and which words, and where it is to be seen. Each test runs the real program.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Status } from "../../src/admin/routes.js";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "millrace-reload-"));
after(() => rmSync(root, { recursive: true, force: true }));

function start(options: readonly string[]): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !/^MILLRACE_(?!NATIVE_PATH)/.test(name));
  return spawn(process.execPath, [PROGRAM, ...options], { cwd: root, env: Object.fromEntries(inherited) });
}

async function millrace(...options: readonly string[]) {
  const child = start(options);
  let [out, err] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (err += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

/** YAML that answers with a word, and more lines. */
function yaml(word: string, ...more: readonly string[]): string {
  const lines = [
    "workers: 1",
    'listeners: ["127.0.0.1:0"]',
    "routes:",
    `  - answer: {status: 200, body: "${word}"}`,
    ...more,
  ];
  return `${lines.join("\n")}\n`;
}

/** A proxy that runs from a file. */
class Ran {
  readonly folder: string;
  readonly file: string;
  readonly #child: ChildProcess;
  #said = "";

  constructor(name: string, text: string, options: readonly string[] = []) {
    this.folder = join(root, name.replaceAll(/\W/g, "-"));
    mkdirSync(this.folder, { recursive: true });
    this.file = join(this.folder, name);
    this.write(text);
    this.#child = start(["run", "-c", this.file, "--admin", `unix:${this.socket}`, ...options]);
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
  }

  get socket(): string {
    return join(this.folder, "admin");
  }

  /** As programs that care write files: beside it, then in its place. */
  write(text: string): void {
    writeFileSync(`${this.file}.new`, text);
    renameSync(`${this.file}.new`, this.file);
  }

  ask(...command: readonly string[]) {
    return millrace(...command, "--admin", `unix:${this.socket}`);
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.ask("status", "--json")).out) as Status;
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (let n = 0; n < 2000; n += 1) {
      const found = pattern.exec(this.#said);
      if (found !== null) return found;
      await sleep(10);
    }
    throw new Error(`it never said ${pattern}: ${this.#said}`);
  }

  /** What it answers now. */
  async answer(): Promise<string> {
    const [, port] = await this.says(/listening on http:\/\/127\.0\.0\.1:(\d+) /);
    return (await fetch(`http://127.0.0.1:${port}/`)).text();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.signal("SIGTERM");
    await once(this.#child, "close");
  }
}

async function run(test: TestContext, name: string, text: string, ...options: readonly string[]): Promise<Ran> {
  const ran = new Ran(name, text, options);
  test.after(() => ran.end());
  await ran.says(/admin API on /);
  return ran;
}

describe("millrace reload", () => {
  it("exits with 0 when other settings are in use, and says what changed; or that they are as they were", async (t) => {
    const ran = await run(t, "good.yaml", yaml("one"));
    const same = await ran.ask("reload");
    assert.deepEqual([same.code, same.out], [0, "the settings are as they were; plan 1\n"]);
    ran.write(yaml("two", "timeouts: {clientIdleMs: 12345}"));
    const other = await ran.ask("reload");
    assert.equal(other.code, 0, other.err);
    assert.match(other.out, /^plan 2 is in use: 2 changes\n {2}timeouts: changed\n {2}routes\S*: changed\n$/);
    assert.equal(await ran.answer(), "two");
    const { generation, workers, lastReload } = await ran.status();
    assert.deepEqual([generation, workers[0]?.generation], [2, 2]);
    assert.deepEqual([lastReload?.result, lastReload?.cause], ["applied", "admin"]);
    assert.match((await ran.ask("status")).out, /plan 2\n.*\nlast reload: applied at \S+ \(admin\)\n$/s);
  });

  it("exits with 78 and names everything with its line when settings are wrong, and nothing changes", async (t) => {
    const ran = await run(t, "bad.yaml", yaml("one"));
    ran.write(yaml("two", "timeouts:", "  clientIdleMs: -1", "  clientHedMs: 5"));
    const wrong = await ran.ask("reload");
    assert.equal(wrong.code, 78);
    assert.match(wrong.err, /^error: timeouts\.clientIdleMs \(line 6\): /m);
    assert.match(wrong.err, /^error: timeouts\.clientHedMs \(line 7\): .*clientHeadMs/m);
    assert.match(wrong.err, /^millrace: the settings are refused; those before stay in use$/m);
    ran.write("routes: [\n");
    assert.match((await ran.ask("reload")).err, /^error: \S+bad\.yaml:\d+:\d+: /);
    rmSync(ran.file);
    assert.match((await ran.ask("reload")).err, /^error: there is no file /);
    assert.equal(await ran.answer(), "one");
    const { generation, lastReload } = await ran.status();
    assert.deepEqual([generation, lastReload?.result], [1, "refused"]);
    assert.match((await ran.ask("status")).out, /last reload: refused at .*\n {2}there is no file /);
  });

  it("exits with 78 and names the settings that take a restart; the rest is refused with them", async (t) => {
    const ran = await run(t, "restart.yaml", yaml("one"));
    ran.write(yaml("two", "accessLog: {to: stdout}").replace("workers: 1", "workers: 2"));
    const asked = await ran.ask("reload");
    assert.equal(asked.code, 78);
    assert.match(asked.err, /^error: workers \(line 1\): changes with a restart only: /m);
    assert.match(asked.err, /^error: accessLog \(line 5\): changes with a restart only: /m);
    assert.equal(await ran.answer(), "one");
    const problem = JSON.parse((await ran.ask("reload", "--json")).out) as { readonly status: number };
    assert.equal(problem.status, 422);
  });

  it("exits with 1 when nobody answers", async () => {
    const asked = await millrace("reload", "--admin", `unix:${join(root, "nobody")}`);
    assert.equal(asked.code, 1);
    assert.match(asked.err, /did not answer/);
  });

  it("reads a program again with what it imports", async (t) => {
    const word = (text: string) => `export const word = "${text}";\n`;
    const program =
      'import { defineConfig } from "millrace";\nimport { word } from "./word.mjs";\n' +
      "const routes = [{ answer: { status: 200, body: word } }];\n" +
      'export default defineConfig({ workers: 1, listeners: ["127.0.0.1:0"], routes });\n';
    mkdirSync(join(root, "program-mjs"));
    writeFileSync(join(root, "program-mjs", "word.mjs"), word("one"));
    const ran = await run(t, "program.mjs", program);
    assert.equal(await ran.answer(), "one");
    for (const text of ["two", "three"]) {
      writeFileSync(join(ran.folder, "word.mjs"), word(text));
      const asked = await ran.ask("reload");
      assert.equal(asked.code, 0, asked.err);
      assert.equal(await ran.answer(), text);
    }
  });
});

describe("SIGHUP", () => {
  it("takes other settings, and says in the log what is wrong with them", async (t) => {
    const ran = await run(t, "hup.yaml", yaml("one"));
    ran.write(yaml("two"));
    ran.signal("SIGHUP");
    await ran.says(/"cause":"signal","generation":2,"changes":1,.*"other settings are in use"/);
    assert.equal(await ran.answer(), "two");
    ran.write(yaml("three", "workerz: 1"));
    ran.signal("SIGHUP");
    await ran.says(
      /"complaints":\[\{"path":"workerz","says":[^}]*"line":5\}\].*"the settings are refused; those before stay/,
    );
    assert.equal(await ran.answer(), "two");
  });
});

describe("millrace run --watch", () => {
  it("takes what the file says when it changes, again after it was wrong, and counts", async (t) => {
    const ran = await run(t, "watched.yaml", yaml("one"), "--watch");
    ran.write(yaml("two"));
    await ran.says(/"cause":"file","generation":2/);
    assert.equal(await ran.answer(), "two");
    ran.write("routes: 7\n");
    await ran.says(/"cause":"file","generation":2,"complaints"/);
    assert.equal(await ran.answer(), "two");
    ran.write(yaml("three"));
    await ran.says(/"cause":"file","generation":3/);
    assert.equal(await ran.answer(), "three");
    const { generation, lastReload } = await ran.status();
    assert.deepEqual([generation, lastReload?.cause], [3, "file"]);
  });
});
