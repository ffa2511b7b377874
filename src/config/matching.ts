/**
 * What must be equal before two requests may share an origin connection, in Traffic Server's words: which combinations
 * make sense, and what they compile to.
 */

/** The words, each with its meaning. */
export const MATCH_WORDS = {
  none: "nothing is shared: every request has a connection of its own",
  ip: "address and port of the target",
  host: "the name; with TLS also that it is the name the session was opened for",
  both: "ip and host",
  hostonly: "the name alone",
  sni: "the server name sent in TLS",
  cert: "our certificate in TLS",
} as const;

export type MatchWord = keyof typeof MATCH_WORDS;

/** Words that add nothing beside another one. */
const HELD_BY: Readonly<Record<MatchWord, readonly MatchWord[]>> = {
  none: [],
  ip: ["both"],
  host: ["both"],
  both: [],
  hostonly: ["host", "both"],
  sni: [],
  cert: [],
};

/** Why connections matched by these words could never be shared, or null. What names mean on TLS is in check-tls.ts. */
export function judgeMatch(words: readonly MatchWord[], isSecure: boolean): string | null {
  const tls = words.find((word) => word === "sni" || word === "cert");
  if (tls === undefined || isSecure) return null;
  return `"${tls}" can never match: it needs TLS to the origin, and its targets are http://`;
}

/** Which words have no effect, and why. */
export function warnAboutMatch(words: readonly MatchWord[]): readonly string[] {
  return words.flatMap((word, index) => {
    if (words.indexOf(word) < index) return [`"${word}" is there twice`];
    if (words.includes("none")) {
      return word === "none" ? [] : [`"${word}" adds nothing: "none" switches sharing off already`];
    }
    const holder = HELD_BY[word].find((other) => words.includes(other));
    return holder === undefined ? [] : [`"${word}" adds nothing beside "${holder}"`];
  });
}

/** The words of the plan, without those that have no effect. The plan says "none" by having no word. */
export function compileMatch(words: readonly MatchWord[]): Exclude<MatchWord, "none">[] {
  if (words.includes("none")) return [];
  const wanted = words.filter((word) => word !== "none");
  return [...new Set(wanted)].filter((word) => !HELD_BY[word].some((other) => words.includes(other)));
}
