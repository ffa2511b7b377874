/**
 * A full disk: the store goes on in memory only and says so, what was purged stays purged, and when there is room again it
 * takes changes. The disk is made full by a bound on the size of the process's files, which the test lifts.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { newFolder } from "../support/store.js";
import { type FullReport, PROGRAM } from "../support/store-full.js";

describe("a store on a full disk", () => {
  it("degrades to memory only, keeps its purges, and recovers", async (test) => {
    const { folder, remove } = newFolder();
    test.after(remove);
    mkdirSync(folder, { recursive: true });
    // In blocks of 512 bytes; the signal of a file that is too long is ignored, so that writing fails as on a full disk.
    const limited = 'trap "" XFSZ; ulimit -S -f 4096; exec "$0" "$1" "$2"';
    const child = spawn("sh", ["-c", limited, process.execPath, PROGRAM, folder], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    test.after(() => child.kill("SIGKILL"));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const report = async () => JSON.parse(String((await lines.next()).value)) as FullReport;
    const full = await report();
    assert.equal(full.state, "memoryOnly");
    assert.ok(full.lost > 0 && full.oldIsRead && !full.newIsRead);
    assert.match(full.said.join(), /takes no changes, what is new stays in memory/);
    const purged = await report();
    assert.equal(purged.purgedIsRead, false);
    execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited:"]);
    child.stdin.write("go\n");
    const recovered = await report();
    assert.deepEqual([recovered.state, recovered.newIsRead, recovered.purgedIsRead], ["ready", true, false]);
    assert.match(recovered.said.join(), /takes changes again/);
  });
});
