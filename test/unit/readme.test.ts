/**
 * README.md keeps its word: every command it shows is tried here (on spare ports, with what `npm start` and the package's
 * bin stand for), its settings are accepted, its program runs, and its bench table is that of the last report. A command
 * that nobody tries is a failure.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const PAGE = readFileSync(join(ROOT, "README.md"), "utf8");
const PACKAGE = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
};
/** How long a proxy may take to say where it listens, in ms. */
const START_MS = 30_000;

/** Below dist/, so that a program there finds the package by its own name. */
mkdirSync(join(ROOT, "dist"), { recursive: true });
const folder = mkdtempSync(join(ROOT, "dist", "readme-"));
let origin: Server;
let originPort = 0;

before(async () => {
  origin = createServer((request, response) => response.end(`origin saw ${request.url}\n`));
  await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  originPort = (origin.address() as AddressInfo).port;
});
after(() => {
  origin.close();
  origin.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

/** The fenced blocks of one language. */
function blocks(language: string): readonly string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "gm"))].map((found) => found[1] ?? "");
}

/** The commands of all shell blocks, without comments. */
const commands = blocks("sh")
  .flatMap((block) => block.split("\n"))
  .map((line) => line.replace(/\s+#.*$/, "").trim())
  .filter((line) => line !== "");

/** The text with the ports of the page replaced by spare ones, by our origin's, and by one where nobody listens. */
function onSparePorts(text: string): string {
  return text.replaceAll(":8080", ":0").replaceAll(":9000", `:${originPort}`).replaceAll(":9100", ":1");
}

/** What a command line that starts Millrace runs, as arguments of node; null for any other command. */
function argumentsOf(command: string): readonly string[] | null {
  const [start, run] = [PACKAGE.scripts["start"] ?? "", `node ${PACKAGE.bin["millrace"]}`];
  const line = command.replace(/^npm start(?: --)?/, start).replace(/^npx millrace\b/, run);
  return line.startsWith("node dist/") ? onSparePorts(line).split(/\s+/).slice(1) : null;
}

function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^MILLRACE_(?!NATIVE_PATH)/.test(name)));
}

function end(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once("close", (code) => resolve(code));
    child.kill("SIGTERM");
  });
}

/** Starts Millrace, waits until it has said each of the patterns, lets `use` try it, and stops it: it must leave with 0. */
async function running(
  options: readonly string[],
  patterns: readonly RegExp[],
  use: (found: readonly string[]) => Promise<void>,
): Promise<void> {
  // Absolute, since the working directory is one without settings.
  const [program = "", ...rest] = options;
  const child = spawn(process.execPath, [join(ROOT, program), ...rest], { cwd: folder, env: environment() });
  let said = "";
  try {
    const found = await new Promise<readonly string[]>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`it did not start; it said: ${said}`)), START_MS);
      const hear = (text: string) => {
        said += text;
        const all = patterns.map((pattern) => pattern.exec(said)?.[1]);
        if (all.every((one) => one !== undefined)) {
          clearTimeout(late);
          resolve(all);
        }
      };
      child.stdout.setEncoding("utf8").on("data", hear);
      child.stderr.setEncoding("utf8").on("data", hear);
      child.once("close", (code) => reject(new Error(`it ended with ${code}; it said: ${said}`)));
    });
    await use(found);
  } finally {
    if (child.exitCode === null) assert.equal(await end(child), 0, said);
  }
}

/** Runs Millrace to its end. */
function millrace(options: readonly string[]): { readonly code: number | null; readonly out: string } {
  const [program = "", ...rest] = options;
  const run = spawnSync(process.execPath, [join(ROOT, program), ...rest], {
    cwd: folder,
    env: environment(),
    encoding: "utf8",
  });
  return { code: run.status, out: run.stdout + run.stderr };
}

async function text(url: string): Promise<string> {
  const answer = await fetch(url, { headers: { Connection: "close" } });
  assert.equal(answer.status, 200, url);
  return answer.text();
}

const LISTENING = /listening on (http:\/\/127\.0\.0\.1:\d+)/;
const ADMIN = /admin API on (http:\/\/127\.0\.0\.1:\d+)/;

/** Who tries which command. The first row that matches counts. */
const TRIALS: readonly { readonly matches: RegExp; readonly tries: (command: string) => Promise<void> }[] = [
  { matches: /^npm install && npm (start|test)$/, tries: trySteps },
  { matches: /^npm start -- --listen /, tries: tryRun },
  { matches: /^npx millrace run --listen .* --admin$/, tries: tryRunWithAdmin },
  { matches: /^npx millrace run -c /, tries: tryRunOfFile },
  { matches: /^npx millrace init$/, tries: tryInit },
  { matches: /^npx millrace (check|print-config|schema)\b/, tries: tryOnce },
  // Tried by the command before them in the page, whose proxy they ask.
  { matches: /^(npx millrace stats|curl http:\/\/127\.0\.0\.1:(8080\/|9901\/stats))$/, tries: tryWasPaired },
  { matches: /^npm test -- --only \w+$/, tries: tryGroup },
  { matches: /^npm run [\w:]+$/, tries: tryScript },
];

/** The two commands of a fresh machine: npm itself is at work already, so its scripts are what can be wrong. */
async function trySteps(command: string): Promise<void> {
  if (command.endsWith("npm test")) {
    assert.match(PACKAGE.scripts["pretest"] ?? "", /build/);
    assert.ok(existsSync(join(ROOT, PACKAGE.scripts["test"]?.replace(/^node /, "") ?? "")));
    return;
  }
  assert.match(PACKAGE.scripts["prestart"] ?? "", /build-native.*tsc/);
  const options = [...(argumentsOf("npm start") ?? []), "--listen", "127.0.0.1:0"];
  await running(options, [/Millrace listens on (http:\/\/\S+)/], async ([base]) => {
    assert.match(await text(`${base}/hello`), /^Hello/);
  });
}

async function tryRun(command: string): Promise<void> {
  await running(argumentsOf(command) ?? [], [LISTENING], async ([base]) => {
    assert.equal(await text(`${base}/way`), "origin saw /way\n");
  });
}

async function tryRunWithAdmin(command: string): Promise<void> {
  const options = [...(argumentsOf(command) ?? []), "127.0.0.1:0"];
  await running(options, [LISTENING, ADMIN], async ([base, admin = ""]) => {
    assert.equal(await text(`${base}/`), "origin saw /\n");
    assert.match(await text(`${admin}/stats`), /"requests":1/);
    const stats = argumentsOf("npx millrace stats") ?? [];
    const { code, out } = millrace([...stats, "--admin", admin.replace("http://", "")]);
    assert.equal(code, 0, out);
    assert.match(out, /^requests +1 /m);
  });
}

/** The YAML of the page, written where the commands look for it. */
function writeSettings(): void {
  writeFileSync(join(folder, "millrace.config.yaml"), onSparePorts(blocks("yaml")[0] ?? ""));
}

async function tryRunOfFile(command: string): Promise<void> {
  writeSettings();
  await running(argumentsOf(command) ?? [], [LISTENING], async ([base]) => {
    const moved = await fetch(`${base}/static/a`, { redirect: "manual", headers: { Connection: "close" } });
    assert.equal(moved.status, 502, "the files are on a port where nobody listens");
  });
}

/** Where there is no file yet; the next commands of the page write their own. */
async function tryInit(command: string): Promise<void> {
  rmSync(join(folder, "millrace.config.yaml"), { force: true });
  const { code, out } = millrace(argumentsOf(command) ?? []);
  assert.equal(code, 0, out);
  rmSync(join(folder, "millrace.config.yaml"));
}

async function tryOnce(command: string): Promise<void> {
  writeSettings();
  const { code, out } = millrace(argumentsOf(command) ?? []);
  assert.equal(code, 0, out);
}

async function tryWasPaired(command: string): Promise<void> {
  const before = commands.slice(0, commands.indexOf(command));
  assert.ok(
    before.some((one) => /^npx millrace run .* --admin$/.test(one)),
    "no command before it starts what it asks",
  );
}

async function tryGroup(command: string): Promise<void> {
  const list = spawnSync(process.execPath, [join(ROOT, "dist/test/run.js"), "--list"], { encoding: "utf8" });
  assert.ok(list.stdout.split("\n").includes(command.split(" ").at(-1) ?? ""), list.stdout);
}

async function tryScript(command: string): Promise<void> {
  assert.ok(PACKAGE.scripts[command.replace("npm run ", "")] !== undefined, "package.json has no such script");
}

describe("README.md", () => {
  it("opens with the two commands of a fresh machine", () => {
    assert.deepEqual(commands.slice(0, 2), ["npm install && npm start", "npm install && npm test"]);
    assert.ok(PAGE.indexOf("```sh") < 40);
  });

  for (const command of commands) {
    it(`shows a command that works: ${command}`, async () => {
      const trial = TRIALS.find((one) => one.matches.test(command));
      assert.ok(trial !== undefined, "nobody tries this command; give it a row in TRIALS");
      await trial.tries(command);
    });
  }

  it("shows a program that runs", async () => {
    const program = join(folder, "program.mjs");
    writeFileSync(program, onSparePorts(blocks("js")[0] ?? ""));
    const child = spawn(process.execPath, [program], { cwd: folder, env: environment() });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (out += piece));
    child.stderr.resume();
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.equal(code, 0);
    assert.match(out, /^200 1$/m);
  });
});

describe("the bench table of README.md", () => {
  const script = join(ROOT, "scripts", "readme-bench.mjs");
  const fill = (...options: readonly string[]) =>
    spawnSync(process.execPath, [script, ...options], { encoding: "utf8", cwd: folder });

  const skip = existsSync(join(ROOT, "bench/load/results/latest.md")) ? false : "no report is committed yet";

  it("is that of the last report", { skip }, () => {
    const run = fill("--check");
    assert.equal(run.status, 0, run.stderr);
  });

  it("is written from a report, and never without one", () => {
    const page = join(folder, "page.md");
    const before = "a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n";
    writeFileSync(page, before);
    const missing = fill("--page", page, "--report", join(folder, "none.md"));
    assert.equal(missing.status, 1);
    assert.match(missing.stderr, /there is no .*none\.md; run "npm run bench:load" first/);
    assert.equal(readFileSync(page, "utf8"), before);
    writeFileSync(join(folder, "report.md"), "Load bench.\n\n| work |\n|---|\n| forward |\n");
    const filled = fill("--page", page, "--report", join(folder, "report.md"));
    assert.equal(filled.status, 0, filled.stderr);
    assert.match(
      readFileSync(page, "utf8"),
      /^a\n<!-- bench:begin -->\nLoad bench\.\n\n\| work[^<]+<!-- bench:end -->\nb\n$/,
    );
  });
});
