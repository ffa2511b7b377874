/**
 * `millrace completion SHELL`: a script for bash, zsh or fish that completes commands and options. Made from the declared
 * commands, so it knows what the program knows.
 */
import type { Command, Option } from "commander";
import { LOG_LEVELS } from "../shared/log.js";
import { EXIT, type ExitCode, print } from "./output.js";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What stands behind an option: nothing, a path, one of some words, or anything. */
type Value =
  | { readonly kind: "none" | "file" | "anything" }
  | { readonly kind: "words"; readonly words: readonly string[] };

/** One option as scripts are told of it. */
interface Flag {
  readonly short: string | undefined;
  readonly long: string;
  readonly says: string;
  readonly value: Value;
}

interface Known {
  readonly name: string;
  readonly says: string;
  readonly flags: readonly Flag[];
  /** Words that stand by themselves. */
  readonly words: readonly string[];
  readonly takesFile: boolean;
}

export function printCompletion(program: Command, shell: Shell): ExitCode {
  print(completionOf(program, shell).trimEnd());
  return EXIT.ok;
}

export function completionOf(program: Command, shell: Shell): string {
  const commands = program.commands.map(knownOf);
  switch (shell) {
    case "bash":
      return bashOf(commands);
    case "zsh":
      return zshOf(commands);
    case "fish":
      return fishOf(commands);
  }
}

function knownOf(command: Command): Known {
  const places = command.registeredArguments;
  return {
    name: command.name(),
    says: command.description(),
    flags: [
      ...command.options.map(flagOf),
      { short: "-h", long: "--help", says: "show help", value: { kind: "none" } },
    ],
    words: places.flatMap((one) => one.argChoices ?? []),
    takesFile: places.some((one) => one.name() === "file"),
  };
}

function flagOf(option: Option): Flag {
  return {
    short: option.short,
    long: option.long ?? option.flags,
    says: option.description,
    value: readValue(option),
  };
}

function readValue({ flags, argChoices }: Option): Value {
  const name = /[<[](\w+)[>\]]/.exec(flags)?.[1];
  if (name === undefined) return { kind: "none" };
  if (argChoices !== undefined) return { kind: "words", words: argChoices };
  if (name === "level") return { kind: "words", words: LOG_LEVELS };
  return { kind: name === "file" ? "file" : "anything" };
}

const HEADER = "# Completion of millrace, made by `millrace completion`.";

function bashOf(commands: readonly Known[]): string {
  const cases = commands.map(
    ({ name, flags, words, takesFile }) =>
      `    ${name}) words="${[...flags.flatMap((one) => [one.long]), ...words].join(" ")}"${takesFile ? "; files=1" : ""} ;;`,
  );
  const values = uniqueFlags(commands).flatMap(bashValue);
  return `${HEADER}
# eval "$(millrace completion bash)"
_millrace() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="" words="" files="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
    ${commands.map(({ name }) => name).join("|")}) command="$word"; break ;;
    esac
  done
  case "$previous" in
${values.join("\n")}
  esac
  case "$command" in
    "") words="${commands.map(({ name }) => name).join(" ")} --help --version" ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ -n "$files" ]; then COMPREPLY+=($(compgen -f -- "$current")); fi
}
complete -F _millrace millrace
`;
}

/** What completes the word behind an option. */
function bashValue({ short, long, value }: Flag): readonly string[] {
  const pattern = short === undefined ? long : `${short}|${long}`;
  switch (value.kind) {
    case "none":
      return [];
    case "file":
      return [`    ${pattern}) COMPREPLY=($(compgen -f -- "$current")); return ;;`];
    case "words":
      return [`    ${pattern}) COMPREPLY=($(compgen -W "${value.words.join(" ")}" -- "$current")); return ;;`];
    case "anything":
      return [`    ${pattern}) COMPREPLY=(); return ;;`];
  }
}

/** Options by their long name, each once: they mean the same wherever they stand. */
function uniqueFlags(commands: readonly Known[]): readonly Flag[] {
  const all = commands.flatMap(({ flags }) => flags);
  return [...new Map(all.map((flag) => [`${flag.long} ${flag.value.kind}`, flag])).values()];
}

function zshOf(commands: readonly Known[]): string {
  const names = commands.map(({ name, says }) => `    ${quoted(`${name}:${says.replaceAll(":", "\\:")}`)}`);
  const cases = commands.map(({ name, flags, words, takesFile }) => {
    const specs = flags.map((flag) => zshSpec(flag));
    const places = takesFile ? ["'1:file:_files'"] : words.length > 0 ? [`'1:word:(${words.join(" ")})'`] : [];
    return `    ${name}) _arguments ${[...specs, ...places].join(" ")} ;;`;
  });
  return `#compdef millrace
${HEADER}
# millrace completion zsh > "\${fpath[1]}/_millrace"
_millrace() {
  local -a commands
  commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join("\n")}
  esac
}
if [ "\${funcstack[1]}" = "_millrace" ]; then _millrace "$@"; else compdef _millrace millrace; fi
`;
}

function zshSpec({ long, says, value }: Flag): string {
  const text = `${long}[${says.replaceAll(/[[\]:]/g, "\\$&")}]`;
  switch (value.kind) {
    case "none":
      return quoted(text);
    case "file":
      return quoted(`${text}:file:_files`);
    case "words":
      return quoted(`${text}:value:(${value.words.join(" ")})`);
    case "anything":
      return quoted(`${text}:value: `);
  }
}

function fishOf(commands: readonly Known[]): string {
  const names = commands.map(
    ({ name, says }) => `complete -c millrace -n __fish_use_subcommand -a ${name} -d ${quoted(says)}`,
  );
  const flags = commands.flatMap(({ name, flags: all, words, takesFile }) => {
    const when = `complete -c millrace -n ${quoted(`__fish_seen_subcommand_from ${name}`)}`;
    return [
      ...all.map((flag) => `${when} ${fishSpec(flag)}`),
      ...(words.length === 0 ? [] : [`${when} -a ${quoted(words.join(" "))}`]),
      ...(takesFile ? [`${when} -F`] : []),
    ];
  });
  return `${HEADER}
# millrace completion fish > ~/.config/fish/completions/millrace.fish
complete -c millrace -f
${names.join("\n")}
${flags.join("\n")}
`;
}

function fishSpec({ short, long, says, value }: Flag): string {
  const name = `${short === undefined ? "" : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
  switch (value.kind) {
    case "none":
      return `${name} -d ${quoted(says)}`;
    case "file":
      return `${name} -r -F -d ${quoted(says)}`;
    case "words":
      return `${name} -x -a ${quoted(value.words.join(" "))} -d ${quoted(says)}`;
    case "anything":
      return `${name} -x -d ${quoted(says)}`;
  }
}

/** For a shell, word by word as it is: in single quotes, in which the three agree but for the quote itself. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "’")}'`;
}
