/**
 * h2spec (github.com/summerwind/h2spec), the outside referee of HTTP/2: built by Go at one version when it is asked for
 * first, kept beside the packages, run against a port, its report read.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findProgram } from "./peers.js";

const VERSION = "v2.2.1+incompatible";
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const FOLDER = join(ROOT, "node_modules", ".cache", `h2spec-${VERSION}`);
const PROGRAM = join(FOLDER, "h2spec");
/** Longest for a build with an empty cache, and for a run; milliseconds. */
const BUILD_MS = 180_000;
const RUN_MS = 200_000;

/** Where Go is, also where its own installer puts it. */
const GO = findProgram("go") ?? ["/usr/local/go/bin/go"].find((path) => existsSync(path));

/** For `skip:` of a test. */
export const WITHOUT_H2SPEC: string | false =
  existsSync(PROGRAM) || GO !== undefined ? false : "neither h2spec nor go is installed";

/** One case of the report. */
export interface SpecCase {
  /** Section and sentence, as h2spec prints them. */
  readonly name: string;
  /** What h2spec wanted and saw; undefined where it passed. */
  readonly failure: string | undefined;
}

interface Ran {
  readonly failed: Error | null;
  readonly out: string;
}

function run(program: string, args: readonly string[], ms: number, env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { timeout: ms, maxBuffer: 64 << 20, env: { ...process.env, ...env } };
    execFile(program, args, options, (failed, out, err) => resolve({ failed, out: out + err }));
  });
}

/** Builds it, unless that was done; why it cannot be had, if it cannot. */
export async function buildH2spec(): Promise<string | undefined> {
  if (existsSync(PROGRAM)) return undefined;
  mkdirSync(FOLDER, { recursive: true });
  const from = `github.com/summerwind/h2spec/cmd/h2spec@${VERSION}`;
  const { failed, out } = await run(GO ?? "go", ["install", from], BUILD_MS, { GOBIN: FOLDER });
  return failed === null ? undefined : `go cannot build h2spec: ${out.trim().split("\n").at(-1)}`;
}

/** Plays every case against a port, also those that a peer should pass but need not, and reads the report. */
export async function runH2spec(port: number, { tls = false } = {}): Promise<readonly SpecCase[]> {
  const report = join(FOLDER, `report-${process.pid}-${port}.xml`);
  const where = ["-h", "127.0.0.1", "-p", String(port), ...(tls ? ["-t", "-k"] : [])];
  // Exit code 1 says that cases failed; the report says which.
  await run(PROGRAM, [...where, "-S", "-o", "2", "-j", report, "generic", "hpack", "http2"], RUN_MS);
  return readReport(readFileSync(report, "utf8"));
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function plain(text: string): string {
  return text.replaceAll(/&(?:#(x?)([0-9A-Fa-f]+)|(\w+));/g, (_, hex: string, code: string, name: string) =>
    name === undefined ? String.fromCodePoint(Number.parseInt(code, hex === "" ? 10 : 16)) : (ENTITIES[name] ?? ""),
  );
}

/** The cases of a JUnit report. */
export function readReport(xml: string): readonly SpecCase[] {
  return [...xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*>(.*?)<\/testcase>/gs)].map((found) => {
    const [, section = "", sentence = "", inside = ""] = found;
    const failure = /<(?:failure|error)[^>]*>(.*?)<\/(?:failure|error)>/s.exec(inside)?.[1];
    return {
      name: plain(`${section}: ${sentence}`),
      failure: failure === undefined ? undefined : plain(failure).trim(),
    };
  });
}
