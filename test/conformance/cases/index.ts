/** All groups of the conformance table, in the order they are played. */
import type { Group } from "../case.js";
import { answerBodies } from "./answer-bodies.js";
import { answerHeads } from "./answer-heads.js";
import { chunked } from "./chunked.js";
import { connection } from "./connection.js";
import { fields } from "./fields.js";
import { framing } from "./framing.js";
import { host } from "./host.js";
import { limits } from "./limits.js";
import { requestLine } from "./request-line.js";
import { target } from "./target.js";

export const GROUPS: readonly Group[] = [
  requestLine,
  target,
  host,
  fields,
  framing,
  chunked,
  connection,
  limits,
  answerHeads,
  answerBodies,
];
