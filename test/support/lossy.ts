/**
 * A network that loses packets: a network namespace of its own, in whose loopback the kernel drops a share of all packets
 * from and to one address. They are dropped where they arrive: a drop where they leave is told to the sender's TCP, which
 * then takes it for its own congestion and no loss. `netem` is not needed, which many kernels lack: the dropping is done
 * by a classic BPF filter (`tc … bpf da bytecode`), which draws for each packet.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { findProgram, run } from "./peers.js";
import { WireError } from "./wire.js";

/** Where what listens is behind the lossy path; every other address of the namespace is reached without a loss. */
export const LOSSY_HOST = "127.0.0.9";

/** Set in a process that runs inside: which play it is to play. */
const PLAY = "MILLRACE_LOSSY_PLAY";

/** Something to be played inside, named by the promise it keeps. */
export interface LossyPlay {
  readonly promise: string;
  readonly play: () => Promise<void>;
}

/** `code jt jf k` of each step: a packet of IPv4 from or to `LOSSY_HOST` is dropped when the draw is at most `most`. */
function bytecode(most: number): string {
  const [draw, pass, drop] = [0xffff_f038, 0xffff_ffff, 2];
  const host = LOSSY_HOST.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const steps = [
    [40, 0, 0, 12],
    [21, 0, 6, 0x0800],
    [32, 0, 0, 26],
    [21, 2, 0, host],
    [32, 0, 0, 30],
    [21, 0, 2, host],
    [32, 0, 0, draw],
    [37, 0, 1, most],
    [6, 0, 0, pass],
    [6, 0, 0, drop],
  ];
  return [steps.length, ...steps.map((step) => step.join(" "))].join(",");
}

/** The words of `tc` that lose `percent` of the packets from now on. */
function filter(percent: number): string[] {
  const most = Math.max(0, Math.round((percent / 100) * 2 ** 32) - 1);
  return `filter replace dev lo ingress pref 1 handle 1 bpf da bytecode`.split(" ").concat(bytecode(most));
}

/** Inside: loses this share of the packets from now on; 0 loses none. */
export function lose(percent: number): void {
  const tc = findProgram("tc") ?? "tc";
  if (percent > 0) execFileSync(tc, filter(percent));
  else execFileSync(tc, ["filter", "del", "dev", "lo", "ingress"]);
}

/** Inside: segments that TCP had to send again so far. */
export function sentAgain(): number {
  const [names, figures] = readFileSync("/proc/net/snmp", "latin1")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  return Number(figures?.[names?.indexOf("RetransSegs") ?? -1]);
}

/** Options of `unshare` that lead into a new network and run a line of shell there once its loopback is up. */
function entering(then: string, ...args: string[]): string[] {
  const line = `ip link set lo up && tc qdisc add dev lo clsact && ${then}`;
  return ["--user", "--map-root-user", "--net", "sh", "-c", line, ...args];
}

/** For `skip:` of a test: false when this machine can lose packets, else the reason why it cannot. */
export function whyNoLoss(): string | false {
  for (const program of ["unshare", "ip", "tc"])
    if (findProgram(program) === undefined) return `${program} is not installed`;
  const tried = run("unshare", entering('tc "$@"', "sh", ...filter(5)));
  return tried.code === 0 ? false : `no network of one's own that loses packets: ${tried.err.trim().split("\n")[0]}`;
}

/** The play that this process was started for, if it runs inside. */
export function playInside(): number | undefined {
  const told = process.env[PLAY];
  return told === undefined ? undefined : Number(told);
}

/** Runs the test file `path` inside a new network, for one of its plays; what it says when it fails is the error. It ends with `signal`. */
export async function enter(path: string, play: number, signal: AbortSignal): Promise<void> {
  const child = spawn(
    findProgram("unshare") ?? "unshare",
    entering('exec "$0" "$@"', process.execPath, "--enable-source-maps", path),
    {
      env: { ...process.env, NODE_TEST_CONTEXT: "", [PLAY]: String(play) },
      stdio: ["ignore", "ignore", "pipe"],
      signal,
    },
  );
  let says = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    says += text;
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new WireError(`inside the lossy network: ${says}`);
}
