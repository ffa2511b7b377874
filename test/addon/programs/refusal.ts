/**
 * Loads the core as if this were another system: prints the refusal. Arguments: platform, architecture, and optionally
 * a runtime that poses as Node.
 */
import { loadNative } from "../../../src/native.js";
import { MillraceError } from "../../../src/shared/errors.js";

const [platform, architecture, runtime] = process.argv.slice(2);
Object.defineProperty(process, "platform", { value: platform });
Object.defineProperty(process, "arch", { value: architecture });
if (runtime !== undefined) Object.defineProperty(process.versions, runtime, { value: "1.0.0" });
try {
  loadNative();
  console.log("it was loaded");
} catch (thrown) {
  if (!(thrown instanceof MillraceError)) throw thrown;
  console.log(`${thrown.code} ${thrown.message}`);
}
