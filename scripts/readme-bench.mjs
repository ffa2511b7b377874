#!/usr/bin/env node
/**
 * Puts the report of the last load bench into README.md, between its two marks. Refuses when there is no report, so that
 * the page never shows a figure nobody measured. `--check` writes nothing and fails when the page shows another report.
 * Usage: node scripts/readme-bench.mjs [--check] [--report FILE] [--page FILE]. Plain JavaScript without dependencies.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const BEGIN = "<!-- bench:begin -->";
const END = "<!-- bench:end -->";
const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** Prints one sentence and leaves with 1. */
function refuse(sentence) {
  process.stderr.write(`readme-bench: ${sentence}\n`);
  process.exit(1);
}

/** The page with the report between its marks, or null when it has not one of each, in order. */
function withReport(page, report) {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) return null;
  return `${page.slice(0, begin + BEGIN.length)}\n${report.trim()}\n${page.slice(end)}`;
}

function main() {
  const { values } = parseArgs({
    options: {
      check: { type: "boolean", default: false },
      report: { type: "string", default: at("bench/load/results/latest.md") },
      page: { type: "string", default: at("README.md") },
    },
  });
  if (!existsSync(values.report)) refuse(`there is no ${values.report}; run "npm run bench:load" first`);
  const report = readFileSync(values.report, "utf8");
  if (!/^\|.*\|$/m.test(report)) refuse(`${values.report} holds no table; nothing was written`);
  const page = readFileSync(values.page, "utf8");
  const filled = withReport(page, report);
  if (filled === null) refuse(`${values.page} has no ${BEGIN} … ${END}`);
  if (filled === page) return;
  if (values.check) refuse(`${values.page} shows another report than ${values.report}`);
  writeFileSync(values.page, filled);
  process.stdout.write(`written: ${values.page}\n`);
}

main();
