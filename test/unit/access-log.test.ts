/**
 * Promises of the access log: nothing is held up by a slow sink, what is lost is counted, rotation loses nothing.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AccessLogSink } from "../../src/control/access-log-sink.js";
import { BoundedWriter, countLines } from "../../src/shared/bounded-writer.js";
import type { FromWorker } from "../../src/shared/messages.js";
import { AccessLog } from "../../workers/edge/access-log.js";

const directory = mkdtempSync(join(tmpdir(), "millrace-log-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const MIB = 1024 * 1024;

/** A worker's log on a sink, with what it says to the main thread passed on as the supervisor does. */
function workerOn(sink: AccessLogSink): { readonly log: AccessLog; readonly said: FromWorker[] } {
  const said: FromWorker[] = [];
  const log: AccessLog = new AccessLog(sink.orders(), (message) => {
    said.push(message);
    if (message.kind === "accessLog") sink.write(message.lines, () => log.handleWritten(message.lines.byteLength));
    if (message.kind === "accessLogReleased") sink.release(message.fd);
  });
  return { log, said };
}

/** A pipe nobody reads yet: the descriptors of its two ends. */
function pipe(name: string): { readonly path: string; readonly reader: number } {
  const path = join(directory, name);
  execFileSync("mkfifo", [path]);
  return { path, reader: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) };
}

describe("the access log", () => {
  it("appends whole lines of every worker to one file", async () => {
    const path = join(directory, "whole.log");
    const sink = new AccessLogSink(path, MIB, 2);
    const workers = [workerOn(sink), workerOn(sink)];
    for (let turn = 0; turn < 200; turn++) {
      for (const [worker, { log }] of workers.entries()) {
        log.take(Buffer.from(`${JSON.stringify({ worker, turn, filler: "x".repeat(turn) })}\n`));
      }
      if (turn % 20 === 0) await sleep(0);
    }
    await Promise.all(workers.map(({ log }) => log.close()));
    await sink.close();
    const lines = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { turn: number });
    assert.equal(lines.length, 400);
    assert.equal(sink.lostLines, 0);
  });

  it("goes on in a new file after a rotation, and loses nothing", async () => {
    const path = join(directory, "rotated.log");
    const sink = new AccessLogSink(path, MIB, 1);
    const { log, said } = workerOn(sink);
    log.take(Buffer.from("before\n"));
    renameSync(path, `${path}.1`);
    const fd = sink.reopen(1);
    assert.ok(fd !== null);
    await log.reopen(fd);
    log.take(Buffer.from("after\n"));
    await log.close();
    await sink.close();
    assert.equal(readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8"), "before\nafter\n");
    assert.equal(readFileSync(path, "utf8"), "after\n");
    assert.deepEqual(
      said.map((message) => message.kind),
      ["accessLogReleased"],
    );
  });

  it("loses lines, counted, when a pipe is not read; and goes on when it is read again", async () => {
    const { path, reader } = pipe("slow");
    const sink = new AccessLogSink(path, 65_536, 1);
    const { log, said } = workerOn(sink);
    const turn = Buffer.from(`${"y".repeat(1023)}\n`.repeat(16));
    const turns = 40;
    for (let sent = 0; sent < turns; sent++) log.take(Buffer.from(turn));
    const lost = sink.lostLines;
    assert.ok(lost > 0 && lost < turns * 16, `${lost} lines were lost`);
    let read = 0;
    const bytes = Buffer.alloc(MIB);
    const drained = log.close().then(() => sink.close());
    while (read < turns * 16 * 1024 - lost * 1024) {
      await sleep(5);
      try {
        read += readSync(reader, bytes);
      } catch (thrown) {
        assert.equal((thrown as NodeJS.ErrnoException).code, "EAGAIN");
      }
    }
    await drained;
    closeSync(reader);
    assert.equal(read, (turns * 16 - lost) * 1024, "what was not lost is written");
    assert.equal(sink.lostLines, lost);
    const reports = said.filter((message) => message.kind === "accessLogLost");
    assert.equal(
      reports.reduce((sum, report) => sum + report.lines, 0),
      lost,
      "every loss is reported",
    );
  });

  it("counts what a broken sink swallows", async () => {
    const ends: (NodeJS.ErrnoException | null)[] = [];
    const writer = new BoundedWriter(-1 >>> 1, MIB, (_, failure) => ends.push(failure));
    assert.ok(writer.push(Buffer.from("a\nb\n")));
    await writer.idle();
    assert.equal(ends[0]?.code, "EBADF");
    assert.equal(countLines(Buffer.from("a\nb\n")), 2);
  });
});
