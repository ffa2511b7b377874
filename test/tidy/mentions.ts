/**
 * What prose and comments mention: files that must exist, links that must lead somewhere, and line numbers, which go
 * stale with the next edit.
 */
import { existsSync } from "node:fs";
import { join, posix } from "node:path";
import { ROOT, type Source } from "./sources.js";

/** A path in prose, e.g. `engine/pool.rs`: at least one folder and an ending that is ours. */
const NAMED_FILE = /(?<![\w./@*{}<>-])((?:\.\.?\/)?[\w.-]+(?:\/[\w.-]+)+\.(?:rs|ts|mjs|md))(?![\w/*])/g;
/** A citation by line. */
const LINE_NUMBER = /\b[\w/-]+\.(?:rs|ts|mjs|js|c|md)(?::\d+|,? lines? \d+)/;

/**
 * Named files that are nowhere, as sentences. A name counts as found when some path of ours ends in it; the `src` folder
 * of a crate may be left out (`engine/pool.rs`).
 */
export function missingFiles(files: readonly Source[], all: readonly string[]): readonly string[] {
  const paths = [...all, ...all.map((path) => path.replace("/src/", "/"))];
  return files.flatMap((file) =>
    proseOf(file).flatMap((line) =>
      [...line.matchAll(NAMED_FILE)]
        .map((found) => posix.normalize(found[1] ?? "").replace(/^(\.\.?\/)+/, ""))
        .filter((name) => !paths.some((path) => path === name || path.endsWith(`/${name}`)))
        .map((name) => `${file.path} names ${name}, which is not there`),
    ),
  );
}

/** Relative links of Markdown that lead nowhere, as sentences. */
export function deadLinks(pages: readonly Source[]): readonly string[] {
  return pages.flatMap((page) =>
    [...page.text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((found) => (found[1] ?? "").replace(/#.*$/, ""))
      .filter((target) => target !== "" && !/^[a-z]+:/i.test(target))
      .filter((target) => !existsSync(join(ROOT, posix.dirname(page.path), target)))
      .map((target) => `${page.path} links to ${target}, which is not there`),
  );
}

/** Citations by line number, as sentences. */
export function lineCitations(files: readonly Source[]): readonly string[] {
  return files.flatMap((file) =>
    proseOf(file).flatMap((line) => {
      const found = LINE_NUMBER.exec(line);
      return found === null ? [] : [`${file.path} cites a line number: ${found[0]}`];
    }),
  );
}

/** The lines people read: all of a page; of code, its comments. */
function proseOf(file: Source): readonly string[] {
  if (file.path.endsWith(".md")) return file.lines;
  return file.lines.flatMap((line) => {
    const comment = /^\s*(?:\/\/[/!]?|\/?\*\*?)(.*)$/.exec(line);
    return comment === null ? [] : [comment[1] ?? ""];
  });
}
