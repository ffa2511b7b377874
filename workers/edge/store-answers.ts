/**
 * Answers the questions of an edge thread's engine to the store: once a turn, a batch. What stands in rows is answered at
 * once; where a body is a file, the answer follows when it was read.
 */
import { type AnsweredVariant, readQuestions, type StoreAnswer, writeAnswers } from "../../src/shared/store-border.js";
import type { Found, StoreReader } from "./store-reader.js";

/** Bodies of one target that are read for one question; the variants beyond are not answered with. */
const BYTES_MAX = 256 * 1024 * 1024;

/**
 * @param questions As the engine writes them.
 * @param answer Hands a batch to the engine.
 */
export function answerQuestions(reader: StoreReader, questions: Buffer, answer: (batch: Buffer) => void): void {
  const asked = readQuestions(questions);
  const found = reader.find(asked.map(({ target }) => target));
  const ready: StoreAnswer[] = [];
  for (const [at, { ticket, target }] of asked.entries()) {
    const kept = found[at] ?? [];
    if (kept.some(({ body }) => body.kind === "file")) {
      // The target is a view of what the engine gave for this turn only.
      void readBodies(reader, Buffer.from(target), kept).then((variants) =>
        answer(writeAnswers([{ ticket, variants }])),
      );
    } else {
      ready.push({ ticket, variants: kept.flatMap(inlineVariant) });
    }
  }
  if (ready.length > 0) answer(writeAnswers(ready));
}

function inlineVariant({ softMs, meta, body }: Found): AnsweredVariant[] {
  return body.kind === "inline" ? [{ softMs, meta, body: body.bytes }] : [];
}

/** Newest first, as long as they fit. Never rejects: what cannot be read is left out. */
async function readBodies(
  reader: StoreReader,
  target: Uint8Array,
  found: readonly Found[],
): Promise<readonly AnsweredVariant[]> {
  const variants: AnsweredVariant[] = [];
  let bytes = 0;
  for (const one of [...found].reverse()) {
    bytes += one.length;
    if (bytes > BYTES_MAX && variants.length > 0) break;
    const body = await reader.read(target, one);
    if (body !== null) variants.push({ softMs: one.softMs, meta: one.meta, body });
  }
  return variants;
}
