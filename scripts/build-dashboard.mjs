#!/usr/bin/env node
/**
 * Puts the dashboard together: src/admin/dashboard becomes one script and one style in dist/src/admin/dashboard, beside the
 * page, its icon and the licences of what is in the script.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const FROM = fileURLToPath(new URL("../src/admin/dashboard/", import.meta.url));
const TO = fileURLToPath(new URL("../dist/src/admin/dashboard/", import.meta.url));
/** What the script holds of others. */
const HELD = ["preact", "uplot"];

const { resolve } = createRequire(import.meta.url);

mkdirSync(TO, { recursive: true });
await build({
  entryPoints: [join(FROM, "main.tsx"), join(FROM, "dashboard.css")],
  entryNames: "[name]",
  outdir: TO,
  outbase: FROM,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"]) copyFileSync(join(FROM, file), join(TO, file));
const licences = HELD.map((name) => {
  const folder = dirname(resolve(`${name}/package.json`));
  return `${name}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}\n`;
});
writeFileSync(join(TO, "licences.txt"), licences.join("\n\n"));
