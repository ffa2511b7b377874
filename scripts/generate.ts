/**
 * `npm run generate`: writes every generated file that is not as it must be.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { generatedFiles } from "./generated.js";

const ROOT = new URL("../../", import.meta.url);

for (const file of generatedFiles()) {
  const path = fileURLToPath(new URL(file.path, ROOT));
  if (existsSync(path) && readFileSync(path, "utf8") === file.text) continue;
  writeFileSync(path, file.text);
  process.stdout.write(`written: ${file.path}\n`);
}
