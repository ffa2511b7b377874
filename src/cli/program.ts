/**
 * The commands of `millrace` and their options: the table that the program runs by, and that its man page and the
 * completion of shells are made from. Each command is a file of its own.
 */
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { LOG_LEVELS } from "../shared/log.js";
import { VERSION } from "../version.js";
import { buildNative } from "./build-native.js";
import { printCertificates } from "./cert.js";
import { check } from "./check.js";
import { printCompletion, SHELLS, type Shell } from "./completion.js";
import { printConnections } from "./connections.js";
import { drain } from "./drain.js";
import { explain } from "./explain.js";
import { init } from "./init.js";
import { logLevel } from "./log-level.js";
import { printOrigins } from "./origins.js";
import type { ExitCode } from "./output.js";
import { printConfig } from "./print-config.js";
import { profile } from "./profile.js";
import { purge } from "./purge.js";
import { reload } from "./reload.js";
import { run } from "./run.js";
import { printSchema } from "./schema.js";
import { printStats } from "./stats.js";
import { printStatus } from "./status.js";
import { VIEWS } from "./top/views.js";
import { top } from "./top.js";
import { upgrade } from "./upgrade.js";
import { printVersion } from "./version.js";

/** All commands; each hands its exit code to `finish`. */
export function declareProgram(finish: (code: ExitCode) => void = () => {}): Command {
  const program = new Command("millrace")
    .description("A reverse proxy for multi-core edge hosts.")
    .version(VERSION, "-V, --version", "print the version")
    .exitOverride()
    .showHelpAfterError("(add --help for what is known)");

  withSettings(program.command("run", { isDefault: true }))
    .description("run the proxy; without --to and without a settings file, in front of a demo origin")
    .option("--watch", "take what the settings file says as soon as it changes", false)
    .action(async (options) => finish(await run(options)));
  program
    .command("check")
    .description("check the settings and say everything that is wrong (exit 78) or odd")
    .option("-c, --config <file>", "the settings file, else millrace.config.* here or in /etc/millrace")
    .option("--offline", "do not resolve the names of targets", false)
    .option("--json", "what is wrong or odd as one line of JSON", false)
    .action(async (options) => finish(await check(options)));
  program
    .command("cert")
    .description("print the certificates each listener would serve, with the days left; exit 1 when one has expired")
    .option("-c, --config <file>", "the settings file, else millrace.config.* here or in /etc/millrace")
    .option("--json", "as one line of JSON", false)
    .action(async (options) => finish(await printCertificates(options)));
  withSettings(program.command("print-config"))
    .description("print the settings with every default filled in")
    .option("--json", "as one line of JSON", false)
    .action(async (options) => finish(await printConfig(options)));
  program
    .command("schema")
    .description("print the JSON Schema of the settings")
    .action(() => finish(printSchema()));
  program
    .command("init")
    .description("write a settings file with every setting and what it does, to begin with")
    .argument("[file]", "where to; - for standard output", "millrace.config.yaml")
    .option("--listen <address>", "where to listen", "127.0.0.1:8080")
    .option("--to <url>", "the service behind it", "http://127.0.0.1:9000")
    .action((file, options) => finish(init(file, options)));
  withAdmin(program.command("reload"))
    .description("have a running proxy read its settings again: all of them or none (exit 78 when they are refused)")
    .action(async (options) => finish(await reload(options)));
  declareQuestions(program, finish);
  declareTop(program, finish);
  declareInsight(program, finish);
  declareLife(program, finish);
  program
    .command("version")
    .description("print the versions of Millrace, its native core and Node.js")
    .option("--json", "as one line of JSON", false)
    .action((options) => finish(printVersion(options)));
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .action((shell: Shell) => finish(printCompletion(program, shell)));
  return program;
}

function declareTop(program: Command, finish: (code: ExitCode) => void): void {
  withAdmin(program.command("top"))
    .description("show what a running proxy does, second by second; keys: c, o, w, Tab, q")
    .addOption(new Option("--view <view>", "what to begin with").choices(VIEWS).default("client"))
    .addOption(new Option("--interval <seconds>", "time between two readings").argParser(parseInterval).default(1))
    .option("--once", "print all views after one interval, and leave", false)
    .action(async (options) => finish(await top(options)));
}

/** Commands that ask a running proxy. */
function declareQuestions(program: Command, finish: (code: ExitCode) => void): void {
  withAdmin(program.command("status"))
    .description("print versions, state, listeners and workers of a running proxy; exit 1 when it is not ready")
    .action(async (options) => finish(await printStatus(options)));
  withAdmin(program.command("stats"))
    .description("print the books of a running proxy, asked at its admin API")
    .action(async (options) => finish(await printStats(options)));
  withAdmin(program.command("origins"))
    .description("print origins and targets of a running proxy: state, connections, counts")
    .action(async (options) => finish(await printOrigins(options)));
  withAdmin(program.command("connections"))
    .description("print every connection of a running proxy")
    .action(async (options) => finish(await printConnections(options)));
  withAdmin(program.command("explain"))
    .description("say what a running proxy would do with a request, without sending it")
    .argument("<method>", "e.g. GET")
    .argument("<url>", "e.g. http://www.example.org/path")
    .option("-H, --header <line>", "a header field, Name: value (may be repeated)", collect)
    .option("--client <address>", "the client's IP address, else 127.0.0.1")
    .action(async (method, url, options) => finish(await explain(method, url, options)));
  withAdmin(program.command("drain"))
    .description("take a target out of use: no new requests, finish, close")
    .argument("<origin>", "name of the origin")
    .argument("<target>", "as in the settings, name:port, or one address:port")
    .option("--undo", "bring it back", false)
    .action(async (origin, target, options) => finish(await drain(origin, target, options)));
  withAdmin(program.command("purge"))
    .description("take answers out of the cache of a running proxy: one of --url, --prefix, --tag and --all")
    .option("--url <url>", "one URL, e.g. http://www.example.org/path?query")
    .option("--prefix <url>", "all URLs that begin so")
    .option("--tag <tag>", "all answers that have the tag")
    .option("--all", "everything", false)
    .option("--soft", "stale in place of gone: still used while it is validated, or when the origin fails", false)
    .action(async (options) => finish(await purge(options)));
}

/** Commands that change the process itself, or what it is made of. */
function declareLife(program: Command, finish: (code: ExitCode) => void): void {
  program
    .command("build-native")
    .description("build the native core on this machine (Rust and a C compiler are needed), and print where it is")
    .action(() => finish(buildNative()));
  withAdmin(program.command("upgrade"))
    .description("put a new process in the place of a running proxy, without a gap; exit 1 when the old one serves on")
    .action(async (options) => finish(await upgrade(options)));
}

/** Commands that ask how a running proxy works inside. */
function declareInsight(program: Command, finish: (code: ExitCode) => void): void {
  withAdmin(program.command("log-level"))
    .description("print the log level of a running proxy, or set another until it ends")
    .addArgument(new Argument("[level]", "the new one").choices(LOG_LEVELS))
    .action(async (level, options) => finish(await logLevel(level, options)));
  withAdmin(program.command("profile"))
    .description("print a CPU profile of a worker's JavaScript, a .cpuprofile file for DevTools")
    .argument("<worker>", "its number, or main for the control plane")
    .addOption(new Option("--seconds <n>", "how long it is taken").argParser(parseInterval).default(5))
    .action(async (worker, options) => finish(await profile(worker, options)));
}

function withAdmin(command: Command): Command {
  return command
    .option("--admin <address>", "where its admin API listens: address:port, or unix:/path", "127.0.0.1:9901")
    .option("--token-file <file>", "a file with the token it asks for, else MILLRACE_ADMIN__TOKEN of the environment")
    .option("--json", "as the API answers", false);
}

/** Options of every command that builds settings. */
function withSettings(command: Command): Command {
  return command
    .option("-c, --config <file>", "the settings file, else millrace.config.* here or in /etc/millrace")
    .option("--listen <address>", "where to listen, e.g. 127.0.0.1:8080 or :8080 (may be repeated)", collect)
    .option("--to <url>", "forward everything there, e.g. http://127.0.0.1:9000 (may be repeated)", collect)
    .addOption(new Option("--workers <n>", "edge worker threads, or auto").argParser(parseCount))
    .addOption(new Option("--shards <n>", "partitions of the origin pool, or auto").argParser(parseCount))
    .option("--no-steal", "keep idle origin connections to the worker that used them last")
    .option("--access-log [sink]", "one JSON line a request, to stdout (default), stderr or a file")
    .option("--admin [address]", "the admin API, on 127.0.0.1:9901 unless said otherwise")
    .option("--log-level <level>", "trace, debug, info, warn, error, fatal or silent");
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function parseCount(value: string): number | "auto" {
  if (value === "auto") return value;
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('must be a whole number or "auto".');
  return Number(value);
}

function parseInterval(value: string): number {
  const seconds = Number(value);
  if (!(seconds >= 0.1 && seconds <= 3600)) throw new InvalidArgumentError("must be 0.1 to 3600 seconds.");
  return seconds;
}
