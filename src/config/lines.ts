/**
 * Which line of a settings file a complaint is about. Only files that are data have lines to name: in a program the value
 * may come from anywhere.
 */
import { type Document, isMap, isPair, isScalar, isSeq, type LineCounter, type Node } from "yaml";
import type { Complaint } from "../shared/errors.js";

/** Says which line of its file a path of the settings stands on; undefined for what no line is about. */
export type LineOf = (path: string) => number | undefined;

/** The lines of a document that was read from YAML or JSON. */
export function linesOf(document: Document, lines: LineCounter): LineOf {
  return (path) => {
    const start = startOf(document.contents as Node | null, stepsOf(path));
    return start === undefined ? undefined : lines.linePos(start).line;
  };
}

/** Complaints with the lines they are about. */
export function withLines(complaints: readonly Complaint[], lineOf: LineOf | undefined): readonly Complaint[] {
  if (lineOf === undefined) return complaints;
  return complaints.map((complaint) => {
    const line = complaint.path === "" ? undefined : lineOf(complaint.path);
    return line === undefined ? complaint : { ...complaint, line };
  });
}

/** `routes[2].match.header["x-a"]` taken apart again. */
function stepsOf(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [, quoted, index, name] of path.matchAll(/\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|([^.[\]]+)/g)) {
    if (quoted !== undefined) steps.push(JSON.parse(quoted) as string);
    else steps.push(index === undefined ? (name ?? "") : Number(index));
  }
  return steps;
}

/** Where the thing at these steps begins, or the nearest thing around it that is written there. */
function startOf(root: Node | null, steps: readonly (string | number)[]): number | undefined {
  let [node, start]: [unknown, number | undefined] = [root, undefined];
  for (const step of steps) {
    if (isSeq(node) && typeof step === "number") {
      node = node.items[step];
      start = beginOf(node) ?? start;
    } else if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (pair === undefined) break;
      start = beginOf(pair.key) ?? start;
      node = pair.value;
    } else break;
    if (node === undefined) break;
  }
  return start;
}

function beginOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
