/**
 * `millrace init`: writes a settings file to begin with: one service, and every other setting as a comment with its
 * default and a sentence, made from the schema. Never writes over a file.
 */
import { writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { checkSettings } from "../config/check.js";
import { alternatives, type JsonSchema, jsonSchema } from "../config/schema.js";
import { EXIT, type ExitCode, print, say, sayComplaints } from "./output.js";

export interface InitOptions {
  readonly listen: string;
  readonly to: string;
}

export function init(file: string, { listen, to }: InitOptions): ExitCode {
  const checked = checkSettings({ listeners: [listen], origins: { app: { targets: to } } });
  if (!checked.ok) {
    sayComplaints("error", checked.complaints);
    return EXIT.usage;
  }
  const text = settingsFile(listen, to);
  if (file === "-") {
    print(text.trimEnd());
    return EXIT.ok;
  }
  try {
    writeFileSync(file, text, { flag: "wx" });
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    say(code === "EEXIST" ? `${file} is there already; it is left as it is` : message);
    return EXIT.failure;
  }
  print(`${file} is written; "millrace check -c ${file}" checks it, "millrace run -c ${file}" runs it`);
  return EXIT.ok;
}

/** Sections that are written out, or that have no defaults to show. */
const OTHERS: ReadonlySet<string> = new Set(["$schema", "listeners", "origins", "routes", "admin"]);

/** The text of the file. Settings behind one # hold as they stand there; lines with ## are prose. */
export function settingsFile(listen: string, to: string): string {
  const sections = Object.entries(jsonSchema().properties ?? {})
    .filter(([name]) => !OTHERS.has(name))
    .flatMap(([name, schema]) => {
      const lines = settingLines(name, schema, "");
      return lines.length === 0 ? [] : ["", ...lines];
    });
  const adminLines = innerOf(jsonSchema().properties?.["admin"] ?? {}).flatMap(([name, schema]) =>
    name === "address" ? [] : settingLines(name, schema, "  "),
  );
  return `## Settings of Millrace. What begins with one # has its default here; take the # away to change it.
## Every setting with its range is in docs/SETTINGS.md; "millrace check -c FILE" says what is wrong.

## Where clients connect.
listeners:
  - ${scalar(listen)}

## The services behind this proxy, by name.
origins:
  app:
    targets:
      - ${scalar(to)}

## The first route that matches takes a request; without routes, one origin takes all.
#routes:
#  - match: { path: /static/* }
#    forwardTo: app
#  - forwardTo: app

## Asked by "millrace stats", "millrace top" and Prometheus.
admin:
  address: 127.0.0.1:9901
${adminLines.join("\n")}
${sections.join("\n")}
`;
}

/** A setting that has a default, or an object of such, as comments. */
function settingLines(name: string, schema: JsonSchema, indent: string): readonly string[] {
  const prose = wrapped(schema.description ?? "", `##${indent} `);
  const inner = innerOf(schema).flatMap(([key, part]) => settingLines(key, part, `${indent}  `));
  if (inner.length > 0) return [...prose, `#${indent}${name}:`, ...inner];
  return schema.default === undefined ? [] : [...prose, `#${indent}${name}: ${scalar(schema.default)}`];
}

/** What is in an object, or may be instead of false; nothing where something would have to be said first. */
function innerOf(schema: JsonSchema): readonly (readonly [string, JsonSchema])[] {
  const object = alternatives(schema).find((one) => one.properties !== undefined);
  return (object?.required ?? []).length > 0 ? [] : Object.entries(object?.properties ?? {});
}

/** Most characters of a line of prose. */
const PROSE_WIDTH = 116;

function wrapped(text: string, beginning: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ").filter((one) => one !== "")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= PROSE_WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${beginning}${word}`);
  }
  return lines;
}

function scalar(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : stringify(value).trimEnd();
}
