/**
 * Answers the questions of an edge thread's engine to the store: once a turn, a batch. What stands in rows is answered at
 * once; where a body is a file, the answer follows when it was read.
 */
import type { StoreReadingOrders } from "../../src/shared/messages.js";
import { StoreFacts, Touches } from "../../src/shared/store.js";
import { type AnsweredVariant, readQuestions, type StoreAnswer, writeAnswers } from "../../src/shared/store-border.js";
import { type Found, StoreReader, type StoreReaderOptions } from "./store-reader.js";

/** Bodies of one target that are read for one question; the variants beyond are not answered with. */
const BYTES_MAX = 256 * 1024 * 1024;

/** Whom answers and damage are told. */
export interface AnswersPlan {
  /** Hands a batch to the engine. */
  readonly answer: (batch: Buffer) => void;
  readonly handleBroken: StoreReaderOptions["handleBroken"];
}

/** See the file. */
export class StoreAnswers {
  readonly #place: StoreReadingOrders;
  readonly #plan: AnswersPlan;
  /** Opened with the first question: the engine asks only when the store is open. */
  #reader: StoreReader | null = null;

  constructor(place: StoreReadingOrders, plan: AnswersPlan) {
    this.#place = place;
    this.#plan = plan;
  }

  /** @param questions As the engine writes them. */
  answer(questions: Buffer): void {
    this.#reader ??= this.#open();
    const reader = this.#reader;
    const asked = readQuestions(questions);
    const found = reader.find(asked.map(({ target }) => target));
    const ready: StoreAnswer[] = [];
    for (const [at, { ticket, target }] of asked.entries()) {
      const kept = found[at] ?? [];
      if (kept.some(({ body }) => body.kind === "file")) {
        // The target is a view of what the engine gave for this turn only.
        void this.#answerLater(reader, ticket, Buffer.from(target), kept);
      } else {
        ready.push({ ticket, variants: kept.flatMap(inlineVariant) });
      }
    }
    if (ready.length > 0) this.#plan.answer(writeAnswers(ready));
  }

  async close(): Promise<void> {
    await this.#reader?.close();
  }

  async #answerLater(reader: StoreReader, ticket: number, target: Buffer, kept: readonly Found[]): Promise<void> {
    const variants = await readBodies(reader, target, kept);
    this.#plan.answer(writeAnswers([{ ticket, variants }]));
  }

  #open(): StoreReader {
    const { folder, bytes } = this.#place;
    const [facts, touches] = [new StoreFacts(this.#place.facts), new Touches(this.#place.touches)];
    return new StoreReader({ folder, bytes, facts, touches, handleBroken: this.#plan.handleBroken });
  }
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
