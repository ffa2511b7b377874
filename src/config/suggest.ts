/**
 * "Did you mean …": the known word nearest to one nobody knows.
 */

/** The known word within a third of the word's length in edits (at least 1, at most 3), or null. */
export function suggest(word: string, known: readonly string[]): string | null {
  const editsMax = Math.min(3, Math.max(1, Math.floor(word.length / 3)));
  let best: { readonly word: string; readonly edits: number } | null = null;
  for (const candidate of known) {
    const edits = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (edits <= editsMax && (best === null || edits < best.edits)) best = { word: candidate, edits };
  }
  return best?.word ?? null;
}

/** `; did you mean "x"?`, or the list of what is known when nothing is near and the list is short. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = suggest(word, known);
  if (near !== null) return `; did you mean "${near}"?`;
  return known.length > 0 && known.length <= 12 ? ` (known: ${known.join(", ")})` : "";
}

/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let edits = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) edits = Math.min(edits, (beforeLast[column - 2] ?? 0) + 1);
      current.push(edits);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
