/**
 * Reads the request vectors of `test/vectors/*.md`: a heading, a fenced `http` block with spelled-out bytes, and one
 * `expect:` line. The format is described at the top of those files.
 */

export interface Vector {
  readonly name: string;
  readonly bytes: Buffer;
  /** The expect line's facts, in order. */
  readonly expects: readonly string[];
}

const ESCAPES: Readonly<Record<string, string>> = { r: "\r", n: "\n", t: "\t", "0": "\0", "\\": "\\" };

/** Spelled-out bytes: `\r \n \t \0 \\ \xNN` and `\{9000:a}` for 9000 times `a`. */
export function spell(text: string): Buffer {
  const joined = text.replaceAll("\n", "");
  const spelled = joined.replace(
    /\\(?:x([0-9A-Fa-f]{2})|\{(\d+):((?:\\.[0-9A-Fa-f]{0,2}|[^}])*)\}|([rnt0\\]))/g,
    (_, hex?: string, times?: string, what?: string, letter?: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (times !== undefined)
        return spell(what ?? "")
          .toString("latin1")
          .repeat(Number(times));
      return ESCAPES[letter ?? ""] ?? "";
    },
  );
  return Buffer.from(spelled, "latin1");
}

/** All vectors of a file. */
export function readVectors(markdown: string): Vector[] {
  const found = markdown.matchAll(/^### (.+)\n\n```http\n([\s\S]*?)```\nexpect: (.+)$/gm);
  return [...found].map(([, name = "", block = "", expects = ""]) => ({
    name,
    bytes: spell(block),
    expects: expects.split(";").map((fact) => fact.trim()),
  }));
}
