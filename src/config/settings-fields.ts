/**
 * Leaves for header fields and for answers of our own, shared by everything in the settings that speaks of them.
 */
import { z } from "zod";
import { judgeEditedName, judgeFieldValue } from "./fields.js";
import { oneOrMore, text } from "./leaves.js";

export const fieldValue = text("The value.", judgeFieldValue);
export const editedName = text("The name of a header field.", judgeEditedName);

/** Longest body of an answer that stands in the settings. */
const ANSWER_BODY_CHARACTERS_MAX = 1_048_576;

/** Header fields and body of an answer of our own. */
export const answerContent = {
  headers: z.record(editedName, oneOrMore(fieldValue)).optional().describe("Header fields of the answer."),
  body: z
    .string()
    .max(ANSWER_BODY_CHARACTERS_MAX)
    .default("")
    .describe("Body of the answer, sent as UTF-8; at most 1 MiB."),
};

/** What is wrong with an answer that has this status and body, or null. */
export function judgeBodyOf(status: number, body: string): string | null {
  if (body === "" || (status !== 204 && status !== 205 && status !== 304)) return null;
  return `an answer with status ${status} has no body`;
}
