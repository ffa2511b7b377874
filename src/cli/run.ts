/**
 * `millrace run`: starts the proxy and stays until a signal. SIGTERM and SIGINT drain it (exit 0); a second one leaves
 * at once (exit 1). SIGUSR1 opens the access-log file anew; SIGHUP reads the certificates again.
 */
import type { Settings } from "../config/settings.js";
import { Millrace, type Started } from "../millrace.js";
import { type DemoOrigin, startDemoOrigin } from "./demo-origin.js";
import { EXIT, type ExitCode, print, say, sayComplaints } from "./output.js";
import { chooseFile, type SettingsOptions, sourceSettings } from "./settings-source.js";

export async function run(options: SettingsOptions): Promise<ExitCode> {
  if (options.to !== undefined && options.config !== undefined) {
    say("--to needs no settings file: give either --to or --config");
    return EXIT.usage;
  }
  const file = chooseFile(options);
  if (file === null && options.to === undefined) return runDemo(options);
  const { checked, source } = await sourceSettings(file, options);
  sayComplaints("warning", checked.warnings);
  if (!checked.ok) {
    sayComplaints("error", checked.complaints);
    return EXIT.settings;
  }
  return serve(checked.settings, (started) => announce(started, checked.settings, source));
}

/** The proxy in front of an origin of our own, so that there is something to try at once. */
async function runDemo(options: SettingsOptions): Promise<ExitCode> {
  const demo = await startDemoOrigin();
  const { checked } = await sourceSettings(null, { admin: "127.0.0.1:0", ...options, to: [demo.url] });
  if (!checked.ok) {
    sayComplaints("error", checked.complaints);
    await demo.close();
    return EXIT.settings;
  }
  try {
    return await serve(checked.settings, (started) => announceDemo(started, demo));
  } finally {
    await demo.close();
  }
}

async function serve(settings: Settings, announceStart: (started: Started) => void): Promise<ExitCode> {
  const proxy = new Millrace(settings);
  const asked = new Promise<void>((resolve) => {
    let signals = 0;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        signals += 1;
        if (signals > 1) process.exit(EXIT.failure);
        resolve();
      });
    }
  });
  process.on("SIGUSR1", () => proxy.reopenAccessLog());
  process.on("SIGHUP", () => proxy.reloadCertificates());
  announceStart(await proxy.start());
  await asked;
  await proxy.stop();
  // Nothing of ours is left; whatever a settings file left running must not keep the process.
  process.exit(EXIT.ok);
}

function announce(started: Started, settings: Settings, source: string | null): void {
  const where = started.listeners.map((place, index) => urlOf(place, settings.listeners[index])).join(", ");
  const routes = settings.routes?.length ?? 1;
  const what = source === null ? targetsOf(settings) : `${source}, ${routes === 1 ? "1 route" : `${routes} routes`}`;
  say(`listening on ${where} (${what}; ${started.workers} workers)`);
  if (started.admin !== null) say(`admin API on ${urlOf(started.admin)}`);
}

function announceDemo(started: Started, demo: DemoOrigin): void {
  const [listener] = started.listeners;
  if (listener === undefined) return;
  const base = urlOf(listener);
  print(`\nMillrace listens on ${base} and forwards to a demo origin on ${demo.url}. Try:\n`);
  for (const example of demo.examples) print(`  ${example.command(base).padEnd(64)} # ${example.says}`);
  if (started.admin !== null) {
    print(`  ${`curl ${urlOf(started.admin)}/status`.padEnd(64)} # versions, workers; /stats has the books`);
  }
  print("\nYour own service:  npm start -- --listen 127.0.0.1:8080 --to http://127.0.0.1:9000");
  print("Stop with Ctrl-C.\n");
}

function targetsOf(settings: Settings): string {
  const targets = Object.values(settings.origins).flatMap((origin) => origin.targets);
  return targets.map((target) => (typeof target === "string" ? target : target.address)).join(", ");
}

/** @param listener What the settings say of it; nothing of the admin API's. */
function urlOf(
  place: { readonly address: string; readonly port: number },
  listener?: Settings["listeners"][number],
): string {
  if (place.address.startsWith("unix:")) return place.address;
  const isSecure = typeof listener === "object" && listener.tls !== false;
  const address = place.address.includes(":") ? `[${place.address}]` : place.address;
  return `${isSecure ? "https" : "http"}://${address}:${place.port}`;
}
