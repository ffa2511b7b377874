/**
 * `millrace print-config`: the settings that would be run, with every default filled in.
 */
import { stringify } from "yaml";
import type { Settings } from "../config/settings.js";
import { EXIT, type ExitCode, print, sayComplaints } from "./output.js";
import { chooseFile, type SettingsOptions, sourceSettings } from "./settings-source.js";

export async function printConfig(options: SettingsOptions & { readonly json: boolean }): Promise<ExitCode> {
  const { checked } = await sourceSettings(chooseFile(options), options);
  sayComplaints("warning", checked.warnings);
  if (!checked.ok) {
    sayComplaints("error", checked.complaints);
    return EXIT.settings;
  }
  const shown = withoutSecrets(checked.settings);
  print(options.json ? JSON.stringify(shown) : stringify(shown).trimEnd());
  return EXIT.ok;
}

/** What is printed ends in tickets and chats; what stands in the token's place is none, so nobody runs with it. */
function withoutSecrets(settings: Settings): unknown {
  if (settings.admin === false || typeof settings.admin.token !== "string") return settings;
  return { ...settings, admin: { ...settings.admin, token: "(hidden)" } };
}
