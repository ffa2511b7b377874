/**
 * Plays one case of the tables against a proxy and says everything that was wrong. Knows no test runner and no proxy by
 * name: it is given the port of a proxy and the scripted origin behind it.
 */
import { describe, reply, serve } from "../support/behaviours.js";
import { RawClient } from "../support/client.js";
import type { Answer, Fields, Request } from "../support/message.js";
import type { OriginConnection, RawOrigin, Script } from "../support/origin.js";
import { pause, show } from "../support/wire.js";
import type { AnswerCase, FieldChecks, Pieces, Received, RequestCase, Seen } from "./case.js";

/** A proxy and the origin behind it. */
export interface Bench {
  readonly port: number;
  readonly origin: RawOrigin;
  /** How long an answer or a close may take; above the proxy's head and body timers. */
  readonly patienceMs: number;
}

/** What the origin of a bench plays right now. */
let playing: AnswerCase | undefined;

/** The origin's side of all cases: the reply of the case for `/case`, an echo for everything else. */
export const benchScript: Script = serve(async (asked, connection) => {
  const path = asked.target.split("?")[0];
  if (playing !== undefined && path === "/case") return playReply(playing, connection);
  const body = asked.method === "HEAD" ? "" : JSON.stringify(describe(asked, connection));
  await connection.send(reply(200, body, `Case: ${path ?? ""}`));
});

async function playReply(row: AnswerCase, connection: OriginConnection): Promise<void> {
  await sendPieces((bytes) => connection.send(bytes), row.reply);
  if (row.end === "keep") return;
  if (row.end === "reset") {
    await pause(20);
    await connection.reset();
  } else await connection.close();
}

async function sendPieces(send: (bytes: Buffer) => Promise<void>, pieces: Pieces): Promise<void> {
  let together: Buffer[] = [];
  const flush = async (): Promise<void> => {
    if (together.length > 0) await send(Buffer.concat(together));
    together = [];
  };
  for (const piece of pieces) {
    if (typeof piece === "number") {
      await flush();
      await pause(piece);
    } else together.push(typeof piece === "string" ? Buffer.from(piece, "latin1") : Buffer.from(piece));
  }
  await flush();
}

/** Plays a request case; the complaints, empty when all is well. */
export async function judgeRequest(row: RequestCase, bench: Bench): Promise<string[]> {
  playing = undefined;
  const complaints: string[] = [];
  const { origin } = bench;
  const before = {
    bytes: origin.receivedBytes,
    requests: origin.requests.length,
    troubles: origin.troubles.length,
  };
  const client = await RawClient.connect(bench.port);
  try {
    const sending = sendPieces((bytes) => client.send(bytes), row.send);
    await seeAnswers(row, client, bench, complaints);
    await sending;
    await seeRest(row, client, bench, complaints);
  } catch (error) {
    complaints.push(`client: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await client.close();
  }
  if (row.received.length === 0) await pause(8);
  const received = origin.requests.slice(before.requests).filter((asked) => asked.target !== "/probe");
  checkReceived(row, received, origin.receivedBytes - before.bytes, complaints);
  for (const trouble of origin.troubles.slice(before.troubles)) {
    if (row.unfinished !== true) complaints.push(`the origin received what is not HTTP: ${trouble.message}`);
  }
  return complaints;
}

async function seeAnswers(row: RequestCase, client: RawClient, bench: Bench, complaints: string[]): Promise<void> {
  for (const seen of row.sees) {
    const answer = await client.answer(seen.method ?? "GET", bench.patienceMs);
    checkSeen(seen, answer, complaints);
    const own = answer.status >= 400;
    const last = seen === row.sees.at(-1);
    if (own && last && row.afterwards === "close" && !hasClose(answer))
      complaints.push("client: the answer before the close has no Connection: close");
  }
}

async function seeRest(row: RequestCase, client: RawClient, bench: Bench, complaints: string[]): Promise<void> {
  if (row.afterwards === "close") {
    const how = await client.seesClose(bench.patienceMs);
    if (how === "reset") complaints.push("client: a reset instead of a clean end");
  } else if (row.afterwards === "open") {
    const probe = await client.ask("GET /probe");
    if (probe.status !== 200) complaints.push(`client: the connection is of no use afterwards: ${probe.status}`);
  }
}

function hasClose(answer: Answer): boolean {
  return answer.fields.all("connection").some((value) => /(^|[\s,])close([\s,]|$)/i.test(value));
}

/** Plays an answer case, and afterwards asks once more to see that nothing of it is left over. */
export async function judgeAnswer(row: AnswerCase, bench: Bench): Promise<string[]> {
  playing = row;
  const complaints: string[] = [];
  const { origin } = bench;
  const connectionsBefore = origin.requests.length;
  const client = await RawClient.connect(bench.port);
  try {
    await client.send(row.ask);
    const answer = await client.answerOrPart(row.method, bench.patienceMs);
    checkSeen(row.sees, answer, complaints);
    if (answer.status !== 502 && answer.complete !== row.sees.complete) {
      complaints.push(
        `client: the answer looks ${answer.complete ? "complete" : "truncated"} and is not: ${answer.head}${show(answer.body)}`,
      );
    }
    if (row.afterwards === "close") await client.seesClose(bench.patienceMs);
    if (row.afterwards === "open" && (await client.ask("GET /probe")).status !== 200)
      complaints.push("client: the connection is of no use afterwards");
  } catch (error) {
    complaints.push(`client: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await client.close();
  }
  playing = undefined;
  await judgeAftermath(row, bench, connectionsBefore, complaints);
  return complaints;
}

async function judgeAftermath(
  row: AnswerCase,
  bench: Bench,
  requestsBefore: number,
  complaints: string[],
): Promise<void> {
  const used = bench.origin.requests[requestsBefore]?.connection.id;
  const client = await RawClient.connect(bench.port);
  try {
    const answer = await client.ask("GET /after");
    if (answer.fields.one("case") !== "/after")
      complaints.push(`the next request got ${answer.head}${show(answer.body)}`);
  } catch (error) {
    complaints.push(`the next request: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await client.close();
  }
  const next = bench.origin.requests.at(-1)?.connection.id;
  if (row.reused !== undefined && used !== undefined && (next === used) !== row.reused) {
    complaints.push(`the origin's connection was ${row.reused ? "not " : ""}used again`);
  }
}

function checkSeen(seen: Seen, answer: Answer, complaints: string[]): void {
  const statuses = typeof seen.status === "number" ? [seen.status] : seen.status;
  if (!statuses.includes(answer.status))
    complaints.push(`client: status ${answer.status} instead of ${statuses.join(" or ")}`);
  if (seen.body !== undefined && answer.body.toString("latin1") !== seen.body)
    complaints.push(`client: body ${show(answer.body)}`);
  const interim = answer.interim.map((head) => head.status).join(",");
  if (seen.interim !== undefined && interim !== seen.interim.join(","))
    complaints.push(`client: interim answers ${interim || "none"}`);
  checkFields("client", seen.fields ?? {}, answer.fields, complaints);
}

function checkReceived(row: RequestCase, received: readonly Request[], bytes: number, complaints: string[]): void {
  const complete = received.filter((asked) => asked.complete);
  if (complete.some((asked) => asked.target.includes("smuggled")))
    complaints.push("origin: the smuggled request arrived");
  if (complete.length !== row.received.length) {
    complaints.push(
      `origin: ${complete.length} requests (${complete.map((asked) => `${asked.method} ${asked.target}`).join(", ")}) instead of ${row.received.length}`,
    );
    return;
  }
  if (row.received.length === 0 && row.unfinished !== true && bytes > 0)
    complaints.push(`origin: received ${bytes} bytes of a refused request`);
  row.received.forEach((wanted, index) => {
    const got = complete[index];
    if (got !== undefined) checkOneReceived(wanted, got, complaints);
  });
}

function checkOneReceived(wanted: Received, got: Request, complaints: string[]): void {
  if (got.version !== "HTTP/1.1") complaints.push(`origin: version ${got.version}`);
  if (wanted.method !== undefined && got.method !== wanted.method) complaints.push(`origin: method ${got.method}`);
  if (wanted.target !== undefined && got.target !== wanted.target) complaints.push(`origin: target ${got.target}`);
  if (wanted.framing !== undefined && got.framing !== wanted.framing) complaints.push(`origin: framing ${got.framing}`);
  if (wanted.body !== undefined && got.body.toString("latin1") !== wanted.body)
    complaints.push(`origin: body ${show(got.body)}`);
  checkFields("origin", wanted.fields ?? {}, got.fields, complaints);
  checkFields("origin, trailers", wanted.trailers ?? {}, got.trailers, complaints);
  // Whatever the case is about: hop-by-hop fields of the client never get through (RFC 9110 7.6.1).
  checkFields(
    "origin",
    { "Keep-Alive": null, "Proxy-Connection": null, "Proxy-Authorization": null },
    got.fields,
    complaints,
  );
}

function checkFields(whose: string, checks: FieldChecks, fields: Fields, complaints: string[]): void {
  for (const [name, wanted] of Object.entries(checks)) {
    const values = fields.all(name);
    const told = values.length === 0 ? "absent" : JSON.stringify(values);
    if (wanted === null) {
      if (values.length > 0) complaints.push(`${whose}: ${name} is ${told} and should be absent`);
    } else if (typeof wanted === "string") {
      if (values.length !== 1 || values[0] !== wanted)
        complaints.push(`${whose}: ${name} is ${told} instead of ${JSON.stringify(wanted)}`);
    } else if (wanted instanceof RegExp) {
      if (values.length !== 1 || !wanted.test(values[0] ?? ""))
        complaints.push(`${whose}: ${name} is ${told}, not like ${wanted}`);
    } else if (JSON.stringify(values) !== JSON.stringify(wanted))
      complaints.push(`${whose}: ${name} is ${told} instead of ${JSON.stringify(wanted)}`);
  }
}
