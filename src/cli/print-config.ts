/**
 * `millrace print-config`: the settings that would be run, with every default filled in.
 */
import { stringify } from "yaml";
import { EXIT, type ExitCode, print, sayComplaints } from "./output.js";
import { chooseFile, type SettingsOptions, sourceSettings } from "./settings-source.js";

export async function printConfig(options: SettingsOptions & { readonly json: boolean }): Promise<ExitCode> {
  const { checked } = await sourceSettings(chooseFile(options), options);
  sayComplaints("warning", checked.warnings);
  if (!checked.ok) {
    sayComplaints("error", checked.complaints);
    return EXIT.settings;
  }
  print(options.json ? JSON.stringify(checked.settings) : stringify(checked.settings).trimEnd());
  return EXIT.ok;
}
