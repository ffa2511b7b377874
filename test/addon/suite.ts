/**
 * Everything that is promised of the addon on one line of Node. A file a line, so that two lines are tested at once.
 */
import { describe, it } from "node:test";
import { testCrashes } from "./crash.js";
import { testIdleness } from "./idle.js";
import { testLife } from "./life.js";
import { NODE_LINES } from "./lines.js";
import { testRefusals } from "./refusals.js";
import { testSignals } from "./signals.js";

/** Defines all tests of a line; a line that `MILLRACE_NODE_LINES` leaves out is skipped, and says so. */
export function testLine(line: number): void {
  if (!NODE_LINES.includes(line)) {
    it(`Node ${line}`, { skip: "MILLRACE_NODE_LINES names other lines" }, () => {});
    return;
  }
  describe(`Node ${line} refuses in one sentence`, () => testRefusals(line));
  describe(`on Node ${line}, signals`, () => testSignals(line));
  describe(`on Node ${line}, a proxy that idles`, () => testIdleness(line));
  describe(`on Node ${line}, threads that go wrong`, () => testCrashes(line));
  describe(`on Node ${line}, the life of the addon`, () => testLife(line));
}
