/**
 * `millrace check`: everything that is wrong or odd about a settings file, without starting anything. Exit 0 or 78.
 * With --offline nothing outside the file is asked, so that it can run where the settings are built.
 */

import { compilePlan, encodePlan, namesToResolve } from "../config/plan.js";
import type { Settings } from "../config/settings.js";
import { readTlsFiles, usesOf } from "../config/tls-files.js";
import { usableCpus } from "../control/cpus.js";
import { resolveNames } from "../control/resolve.js";
import { loadNative, type NativeCore } from "../native.js";
import { type Complaint, MillraceError, messageOf } from "../shared/errors.js";
import { EXIT, type ExitCode, print, say, sayComplaints } from "./output.js";
import { chooseFile, type Sourced, sourceSettings } from "./settings-source.js";

interface CheckOptions {
  readonly config?: string;
  readonly offline: boolean;
  readonly json: boolean;
}

/** Stands for the addresses of a name that is not resolved in offline mode (RFC 5737). */
const ADDRESS_UNKNOWN = "192.0.2.1";

export async function check(options: CheckOptions): Promise<ExitCode> {
  const file = chooseFile(options);
  if (file === null) {
    say("there is no millrace.config.{ts,mts,js,mjs,json,yaml} here or in /etc/millrace; name a file with -c");
    return EXIT.settings;
  }
  const { errors, warnings } = await findingsOf(file, options.offline);
  if (options.json) {
    print(JSON.stringify({ file, ok: errors.length === 0, errors, warnings }));
  } else {
    sayComplaints("warning", warnings);
    sayComplaints("error", errors);
    if (errors.length === 0) print(`${file}: ok${describeCount(warnings.length)}`);
  }
  return errors.length === 0 ? EXIT.ok : EXIT.settings;
}

interface Findings {
  readonly errors: readonly Complaint[];
  readonly warnings: readonly Complaint[];
}

async function findingsOf(file: string, offline: boolean): Promise<Findings> {
  const { checked } = await sourceSettings(file, {}).catch(unreadable);
  const { warnings } = checked;
  if (!checked.ok) return { errors: checked.complaints, warnings };
  const refusal = await refusalOf(checked.settings, offline);
  return { errors: refusal === null ? [] : [{ path: "", says: refusal }], warnings };
}

/** A file that cannot be read at all is one complaint more. */
function unreadable(thrown: unknown): Pick<Sourced, "checked"> {
  if (!(thrown instanceof MillraceError) || thrown.code !== "MILLRACE_SETTINGS") throw thrown;
  return { checked: { ok: false, complaints: thrown.complaints, warnings: [] } };
}

function describeCount(warnings: number): string {
  if (warnings === 0) return "";
  return warnings === 1 ? " (1 warning)" : ` (${warnings} warnings)`;
}

/** What only the outside world or the core can say against the settings, or null. */
async function refusalOf(settings: Settings, offline: boolean): Promise<string | null> {
  const names = namesToResolve(settings);
  try {
    const addresses = offline
      ? new Map(names.map((name) => [name, [ADDRESS_UNKNOWN]]))
      : await resolveNames(names, settings.dns);
    const workers = settings.workers === "auto" ? usableCpus() : settings.workers;
    const { material } = readTlsFiles(usesOf(settings));
    const document = encodePlan(compilePlan(settings, { workers, addresses, material }));
    coreIfBuilt()?.checkPlan(document);
    return null;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** Settings can be checked where the core was never built; then the core's own second look is left out. */
function coreIfBuilt(): NativeCore | null {
  try {
    return loadNative();
  } catch (thrown) {
    say(`the core's own check is left out: ${messageOf(thrown)}`);
    return null;
  }
}
