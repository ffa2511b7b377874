/**
 * The border between the engine and the store: what the engine has for the store, and what the store answers, each a
 * batch in one piece of bytes. Numbers are little end first; native-bindings/addon/src/store_border.rs is the other half.
 */
import type { StoreWrite } from "./store.js";

const PUT = 0;
const REMOVE = 1;
const REMOVE_TARGET = 2;
const REMOVE_TAG = 3;

/** A question of the engine: what is kept of a target? */
export interface StoreQuestion {
  readonly ticket: number;
  readonly target: Uint8Array;
}

/** A variant in an answer. */
export interface AnsweredVariant {
  /** Since when it is stale by a purge, in ms since 1970; 0 = it is not. */
  readonly softMs: number;
  readonly meta: Uint8Array;
  readonly body: Uint8Array;
}

export interface StoreAnswer {
  readonly ticket: number;
  readonly variants: readonly AnsweredVariant[];
}

/** Reads a batch from its beginning. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    this.#at += 1;
    return this.#bytes.readUInt8(this.#at - 1);
  }

  whole(): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at - 4);
  }

  double(): number {
    this.#at += 8;
    return this.#bytes.readDoubleLE(this.#at - 8);
  }

  piece(length = this.whole()): Buffer {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** What the engine hands over to be written; views of `bytes`. */
export function readWrites(bytes: Buffer): readonly StoreWrite[] {
  const reader = new Reader(bytes);
  const writes: StoreWrite[] = [];
  while (!reader.isAtEnd) writes.push(readWrite(reader));
  return writes;
}

function readWrite(reader: Reader): StoreWrite {
  const kind = reader.byte();
  switch (kind) {
    case PUT: {
      const stamp = reader.double();
      const [target, variantId, meta] = [reader.piece(), reader.piece(), reader.piece()];
      const tags = Array.from({ length: reader.whole() }, () => reader.piece());
      return { kind: "put", target, variantId, meta, tags, stamp, body: [reader.piece(reader.double())] };
    }
    case REMOVE:
      return { kind: "remove", target: reader.piece(), variantId: reader.piece() };
    case REMOVE_TARGET: {
      const stamp = reader.double();
      return { kind: "removeTarget", stamp, target: reader.piece() };
    }
    case REMOVE_TAG: {
      const stamp = reader.double();
      return { kind: "removeTag", stamp, tag: reader.piece() };
    }
    default:
      throw new Error(`the engine hands over a change of kind ${kind}, which nobody knows`);
  }
}

/** The questions of one turn; views of `bytes`. */
export function readQuestions(bytes: Buffer): readonly StoreQuestion[] {
  const reader = new Reader(bytes);
  const questions: StoreQuestion[] = [];
  while (!reader.isAtEnd) questions.push({ ticket: reader.whole(), target: reader.piece() });
  return questions;
}

/** A batch of answers for the engine. */
export function writeAnswers(answers: readonly StoreAnswer[]): Buffer {
  const length = answers.reduce(
    (sum, { variants }) =>
      sum + 8 + variants.reduce((inner, { meta, body }) => inner + 16 + meta.length + body.length, 0),
    0,
  );
  const out = Buffer.allocUnsafe(length);
  let at = 0;
  const piece = (bytes: Uint8Array) => {
    at = out.writeUInt32LE(bytes.length, at);
    out.set(bytes, at);
    at += bytes.length;
  };
  for (const { ticket, variants } of answers) {
    at = out.writeUInt32LE(ticket, at);
    at = out.writeUInt32LE(variants.length, at);
    for (const { softMs, meta, body } of variants) {
      at = out.writeDoubleLE(softMs, at);
      piece(meta);
      piece(body);
    }
  }
  return out;
}
