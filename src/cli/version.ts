/**
 * `millrace version`: the versions a report of a problem should name.
 */
import { loadNative } from "../native.js";
import { messageOf } from "../shared/errors.js";
import { VERSION } from "../version.js";
import { EXIT, type ExitCode, print } from "./output.js";

export function printVersion({ json }: { readonly json: boolean }): ExitCode {
  if (json) {
    print(JSON.stringify({ millrace: VERSION, core: coreVersion(), node: process.versions.node }));
    return EXIT.ok;
  }
  print(`millrace ${VERSION}`);
  print(`core     ${coreVersion()}`);
  print(`node     ${process.versions.node} (${process.platform} ${process.arch})`);
  return EXIT.ok;
}

function coreVersion(): string {
  try {
    return loadNative().version();
  } catch (thrown) {
    return `not available: ${messageOf(thrown)}`;
  }
}
