/**
 * Promises of what the program writes about itself: a settings file to begin with, scripts that complete in shells, and
 * its man page. All are made from what is declared, and none may miss any of it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { manPage } from "../../scripts/man-page.js";
import { completionOf, SHELLS } from "../../src/cli/completion.js";
import { settingsFile } from "../../src/cli/init.js";
import { declareProgram } from "../../src/cli/program.js";
import { checkSettings } from "../../src/config/check.js";
import { jsonSchema } from "../../src/config/schema.js";
import { missing } from "../support/peers.js";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "millrace-made-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function millrace(...options: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...options], {
    cwd: folder,
    encoding: "utf8",
  });
  return { code: status, out: stdout, err: stderr };
}

const program = declareProgram();

/** Every option of every command, by its long name. */
const LONG = program.commands.flatMap((command) =>
  command.options.map((option) => ({ command: command.name(), long: option.long ?? "" })),
);

describe("millrace init", () => {
  it("writes a file that check accepts, and that print-config reads as it says", () => {
    const made = millrace("init", "a.yaml", "--listen", "127.0.0.1:8081", "--to", "http://127.0.0.1:9001");
    assert.equal(made.code, 0, made.err);
    assert.match(made.out, /^a\.yaml is written/);
    const checked = millrace("check", "--offline", "-c", "a.yaml");
    assert.deepEqual([checked.code, checked.err], [0, ""]);
    const { listeners, origins } = JSON.parse(millrace("print-config", "--json", "-c", "a.yaml").out) as {
      readonly listeners: readonly string[];
      readonly origins: { readonly app: { readonly targets: unknown } };
    };
    assert.deepEqual([listeners, origins.app.targets], [["127.0.0.1:8081"], ["http://127.0.0.1:9001"]]);
  });

  it("never writes over a file, and writes nothing that check would refuse", () => {
    writeFileSync(join(folder, "mine.yaml"), "mine");
    const again = millrace("init", "mine.yaml");
    assert.deepEqual([again.code, readFileSync(join(folder, "mine.yaml"), "utf8")], [1, "mine"]);
    assert.match(again.err, /is there already/);
    const wrong = millrace("init", "b.yaml", "--to", "ftp://nothing");
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /ftp:\/\/nothing/);
    assert.equal(millrace("init", "/no/such/folder/a.yaml").code, 1);
  });

  it("prints instead with -", () => {
    const { code, out } = millrace("init", "-");
    assert.equal(code, 0);
    assert.equal(out, settingsFile("127.0.0.1:8080", "http://127.0.0.1:9000"));
  });

  const text = settingsFile("127.0.0.1:8080", "http://127.0.0.1:9000");
  const uncommented = text.replaceAll(/^#(?!#)/gm, "");

  it("comments settings out that hold as they stand there, and are the defaults", () => {
    const [bare, full] = [
      checkSettings(parse(text)),
      checkSettings(parse(uncommented.replace(/^routes:\n(?: .*\n)*/m, ""))),
    ];
    assert.ok(bare.ok && full.ok, JSON.stringify(full));
    assert.deepEqual(full.warnings, []);
    // Where the default is false, what is shown is what there would be instead.
    assert.deepEqual({ ...full.settings, accessLog: false }, bare.settings);
    assert.ok(checkSettings(parse(uncommented)).ok, "with the routes too");
  });

  it("has every section of the settings, and no line that is too wide", () => {
    const there = Object.keys(parse(uncommented) as object);
    const all = Object.keys(jsonSchema().properties ?? {}).filter((name) => !["$schema", "zone"].includes(name));
    assert.deepEqual([...there].sort(), [...all].sort());
    for (const line of text.split("\n")) assert.ok(line.length <= 120, line);
  });
});

describe("millrace completion", () => {
  for (const shell of SHELLS) {
    it(`of ${shell} names every command and option`, () => {
      const script = completionOf(program, shell);
      for (const command of program.commands) assert.match(script, new RegExp(`\\b${command.name()}\\b`));
      for (const { long } of LONG) assert.ok(script.includes(shell === "fish" ? `-l ${long.slice(2)}` : long), long);
      assert.equal(millrace("completion", shell).out.trimEnd(), script.trimEnd());
    });

    const syntax = missing(shell);
    it(`of ${shell} is one that the shell reads`, { skip: syntax }, () => {
      const { status, stderr } = spawnSync(shell, ["-n"], { input: completionOf(program, shell), encoding: "utf8" });
      assert.deepEqual([status, stderr], [0, ""]);
    });
  }

  it("refuses a shell that it does not know", () => {
    const { code, err } = millrace("completion", "tcsh");
    assert.equal(code, 2);
    assert.match(err, /bash, zsh, fish/);
  });

  /** What bash would offer for the last of these words. */
  function offered(...words: readonly string[]): readonly string[] {
    const list = ["millrace", ...words].map((word) => `'${word}'`).join(" ");
    const input = `${completionOf(program, "bash")}
cd ${folder}; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _millrace; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["--norc"], { input, encoding: "utf8" });
    assert.equal(stderr, "");
    return stdout.split("\n").filter((word) => word !== "");
  }

  it("offers commands, options, words and files in bash", { skip: missing("bash") }, () => {
    writeFileSync(join(folder, "some-file.yaml"), "");
    assert.deepEqual(offered("dr"), ["drain"]);
    assert.deepEqual(offered("co"), ["connections", "completion"]);
    assert.deepEqual(offered("drain", "--u"), ["--undo"]);
    assert.deepEqual(offered("top", "--view", ""), ["client", "origin", "workers"]);
    assert.deepEqual(offered("run", "--log-level", "de"), ["debug"]);
    assert.deepEqual(offered("check", "-c", "some-f"), ["some-file.yaml"]);
    assert.deepEqual(offered("completion", "z"), ["zsh"]);
    assert.deepEqual(offered("run", "--listen", "x"), [], "an address is nobody's to guess");
  });
});

describe("the man page", () => {
  const page = manPage();

  it("names every command, argument and option, and every exit code", () => {
    const plain = page.replaceAll("\\-", "-");
    for (const command of program.commands) {
      const at = plain.indexOf(`.SS millrace ${command.name()} `);
      assert.ok(at >= 0, command.name());
      const section = plain.slice(at, plain.indexOf("\n.S", at + 1));
      for (const { flags } of command.options)
        assert.ok(section.includes(`.B ${flags}\n`), `${command.name()} ${flags}`);
      for (const one of command.registeredArguments) assert.ok(section.includes(`.B ${one.name()}\n`), one.name());
    }
    for (const code of [0, 1, 2, 78]) assert.match(page, new RegExp(`^\\.B ${code}$`, "m"));
  });

  it("is read by groff without a warning", { skip: missing("groff") }, () => {
    const { status, stdout, stderr } = spawnSync("groff", ["-man", "-Tutf8", "-P-cbou", "-ww"], {
      input: page,
      encoding: "utf8",
    });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout, /SYNOPSIS/);
  });
});
