/**
 * A tiny name server on UDP that a test scripts: records with TTL, no such name, failure, silence; and it counts what it
 * is asked.
 */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";

/** What a name is answered with. */
export type Script =
  | { readonly kind: "addresses"; readonly addresses: readonly string[]; readonly ttlS?: number }
  | { readonly kind: "services"; readonly services: readonly ServiceRecord[]; readonly ttlS?: number }
  | { readonly kind: "nxdomain" }
  | { readonly kind: "servfail" }
  | { readonly kind: "silence" };

export interface ServiceRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly host: string;
}

const TYPES = { A: 1, AAAA: 28, SRV: 33 } as const;
const RCODES = { nxdomain: 3, servfail: 2 } as const;

/** Started by `startDnsServer`. */
export class DnsServer {
  /** Questions so far, as `AAAA name`. */
  readonly asked: string[] = [];
  readonly #socket: Socket;
  readonly #scripts = new Map<string, Script>();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (question, peer) => {
      const answer = this.#answer(question);
      if (answer !== null) socket.send(answer, peer.port, peer.address);
    });
  }

  /** For `DnsPolicy.servers`. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** What a name is answered from now on; for one type of question only, when that is given ("AAAA"). */
  set(name: string, script: Script, type?: keyof typeof TYPES): void {
    this.#scripts.set(type === undefined ? name : `${type} ${name}`, script);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #answer(question: Buffer): Buffer | null {
    const { name, type, end } = readQuestion(question);
    this.asked.push(`${type} ${name}`);
    const script = this.#scripts.get(`${type} ${name}`) ?? this.#scripts.get(name) ?? { kind: "nxdomain" };
    switch (script.kind) {
      case "silence":
        return null;
      case "nxdomain":
      case "servfail":
        return reply(question, end, [], RCODES[script.kind]);
      case "addresses": {
        const wanted = script.addresses.filter((one) => type === (isIPv6(one) ? "AAAA" : "A"));
        return reply(
          question,
          end,
          wanted.map((one) => record(type, script.ttlS ?? 60, addressBytes(one))),
          0,
        );
      }
      case "services": {
        const wanted = type === "SRV" ? script.services : [];
        return reply(
          question,
          end,
          wanted.map((one) => record(type, script.ttlS ?? 60, serviceBytes(one))),
          0,
        );
      }
    }
  }
}

/** A name server on a free port of 127.0.0.1. */
export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return new DnsServer(socket);
}

function readQuestion(bytes: Buffer): { readonly name: string; readonly type: string; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = bytes[at] ?? 0; length > 0; length = bytes[at] ?? 0) {
    labels.push(bytes.toString("latin1", at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  const number = bytes.readUInt16BE(at + 1);
  const type = Object.entries(TYPES).find(([, value]) => value === number)?.[0] ?? String(number);
  return { name: labels.join("."), type, end: at + 5 };
}

function reply(question: Buffer, end: number, records: readonly Buffer[], rcode: number): Buffer {
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180 | rcode, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, question.subarray(12, end), ...records]);
}

/** The record's name is the question's: a pointer to its place behind the head. */
function record(type: string, ttlS: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(TYPES[type as keyof typeof TYPES], 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttlS, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function serviceBytes(service: ServiceRecord): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt16BE(service.priority, 0);
  head.writeUInt16BE(service.weight, 2);
  head.writeUInt16BE(service.port, 4);
  const labels = service.host.split(".").filter((label) => label !== "");
  const name = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]);
  return Buffer.concat([head, ...name, Buffer.from([0])]);
}

function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split(".").map(Number));
  const [left = "", right = ""] = address.split("::");
  const words = (text: string) => (text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16)));
  const [before, after] = [words(left), words(right)];
  const all = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}
