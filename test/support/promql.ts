/**
 * What an expression of PromQL names: metrics and the labels asked of them. Not a parser of all of it; enough to hold
 * dashboards and alert rules to the series there are.
 */

/** One metric in an expression, with the labels its matchers and the groupings around it name. */
export interface Mention {
  readonly metric: string;
  readonly labels: readonly string[];
}

/** Labels that whoever scrapes adds. */
const SCRAPED: ReadonlySet<string> = new Set(["job", "instance"]);

/** Every metric of ours (or recorded from ours) in an expression. */
export function mentionsIn(expression: string): readonly Mention[] {
  const bare = expression.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  const grouped = [...bare.matchAll(/\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g)].flatMap((found) =>
    listOf(found[1]),
  );
  return [...bare.matchAll(/\b((?:millrace|process)[_:][\w:]*)(?:\{([^}]*)\})?/g)].map((found) => {
    const matched = [...(found[2] ?? "").matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map((one) => one[1] ?? "");
    const labels = [...matched, ...grouped].filter((label) => !SCRAPED.has(label));
    return { metric: found[1] ?? "", labels: [...new Set(labels)] };
  });
}

function listOf(text: string | undefined): readonly string[] {
  return (text ?? "")
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
}
