/**
 * `millrace run`: starts the proxy and stays until a signal. SIGTERM and SIGINT drain it (exit 0); a second one leaves
 * at once (exit 1). SIGUSR1 opens the access-log file anew; SIGHUP reads the settings and the certificates again, and so
 * does a change of the settings file with --watch; SIGUSR2 puts a new process in the place of this one.
 */
import type { Settings } from "../config/settings.js";
import type { OwnProcess } from "../control/handover.js";
import { Inherited } from "../control/inherited.js";
import type { Reload, ReloadCause, SettingsSource } from "../control/reload.js";
import { ServiceManager } from "../control/service-manager.js";
import { watchSettings } from "../control/settings-watch.js";
import { ownCommand, tellPredecessor, Upgrader } from "../control/upgrade.js";
import type { Started } from "../lifecycle.js";
import { Millrace } from "../millrace.js";
import { describeComplaint, MillraceError, messageOf, settingsError } from "../shared/errors.js";
import { type DemoOrigin, startDemoOrigin } from "./demo-origin.js";
import { EXIT, type ExitCode, print, say, sayComplaints } from "./output.js";
import { chooseFile, type SettingsOptions, sourceSettings } from "./settings-source.js";

/** This process, beside the proxy in it. */
interface Host extends OwnProcess {
  readonly manager: ServiceManager;
}

/** Options of `run` beside those about settings. */
export interface RunOptions extends SettingsOptions {
  /** Take what the settings file says as soon as it changes. */
  readonly watch?: boolean;
}

export async function run(options: RunOptions): Promise<ExitCode> {
  if (options.to !== undefined && options.config !== undefined) {
    say("--to needs no settings file: give either --to or --config");
    return EXIT.usage;
  }
  const inherited = Inherited.take(process.env, process.pid);
  const manager = new ServiceManager(process.env, process.pid, inherited.from !== null);
  const host = { inherited, manager, upgrader: new Upgrader(ownCommand()) };
  try {
    return await runAs(host, options);
  } catch (thrown) {
    await tellPredecessor(inherited, { kind: "failed", says: `cannot start: ${reasonOf(thrown)}` });
    throw thrown;
  }
}

async function runAs(host: Host, options: RunOptions): Promise<ExitCode> {
  const file = chooseFile(options);
  if (file === null && options.to === undefined) return runDemo(host, options);
  const { checked, source } = await sourceSettings(file, options);
  sayComplaints("warning", checked.warnings);
  if (!checked.ok) throw settingsError(checked.complaints);
  const again: SettingsSource = () => sourceSettings(file, options, process.env, "again");
  const served = { settings: checked.settings, source: again, watched: options.watch === true ? file : null };
  return serve(host, served, (started) => announce(started, checked.settings, source));
}

/** The proxy in front of an origin of our own, so that there is something to try at once. */
async function runDemo(host: Host, options: RunOptions): Promise<ExitCode> {
  const demo = await startDemoOrigin();
  try {
    const { checked } = await sourceSettings(null, { admin: "127.0.0.1:0", ...options, to: [demo.url] });
    if (!checked.ok) throw settingsError(checked.complaints);
    const served = { settings: checked.settings, source: null, watched: null };
    return await serve(host, served, (started) => announceDemo(started, demo));
  } finally {
    await demo.close();
  }
}

/** What is run. */
interface Served {
  readonly settings: Settings;
  /** Where other settings come from. */
  readonly source: SettingsSource | null;
  /** The file whose changes are taken. */
  readonly watched: string | null;
}

type Announce = (started: Started) => void;

async function serve(host: Host, served: Served, announceStart: Announce): Promise<ExitCode> {
  const { settings, source, watched } = served;
  const proxy = new Millrace(settings, host, source);
  const asked = new Promise<void>((resolve) => {
    let signals = 0;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => {
        signals += 1;
        if (signals > 1) process.exit(EXIT.failure);
        host.upgrader.abort();
        host.manager.stopping();
        resolve();
      });
    }
    proxy.once("handedOver", ({ pid }) => {
      host.manager.handedOver(pid);
      resolve();
    });
  });
  process.on("SIGUSR1", () => proxy.reopenAccessLog());
  process.on("SIGHUP", () => void takeAll(proxy, source !== null, host));
  process.on("SIGUSR2", () => void upgrade(proxy, host));
  announceStart(await proxy.start());
  await tellReady(proxy, host);
  const watching = watched === null ? null : watchSettings(watched, () => void reload(proxy, "file"));
  await asked;
  watching?.close();
  // Who has handed over has nobody to wait for.
  await proxy.stop({ delayMs: host.upgrader.isDone ? 0 : proxy.settings.shutdown.delayMs });
  // Nothing of ours is left; whatever a settings file left running must not keep the process.
  process.exit(EXIT.ok);
}

/** Whoever waits for us learns that we serve, or why we do not. */
async function tellReady(proxy: Millrace, { inherited, manager }: Host): Promise<void> {
  const why = proxy.whyNotReady;
  if (inherited.from === null) manager.ready(why ?? "serving");
  else await tellPredecessor(inherited, why === null ? { kind: "ready" } : { kind: "failed", says: why });
  manager.startWatchdog();
}

/** SIGUSR2: nobody waits for an answer; the log has said it. */
async function upgrade(proxy: Millrace, { manager }: Host): Promise<void> {
  if (proxy.state !== "running") return say("SIGUSR2: nothing to upgrade while the proxy starts or stops");
  manager.reloading();
  await proxy.upgrade().catch((thrown) => manager.ready(`the upgrade failed: ${messageOf(thrown)}`));
}

/** In one line. */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof MillraceError && thrown.complaints.length > 0) {
    return thrown.complaints.map(describeComplaint).join("; ");
  }
  return messageOf(thrown);
}

/** SIGHUP: certificates are each taken for itself, also where the settings as a whole are refused. */
async function takeAll(proxy: Millrace, hasSource: boolean, { manager }: Host): Promise<void> {
  if (proxy.state !== "running") return;
  manager.reloading();
  const reloaded = hasSource ? await reload(proxy, "signal") : null;
  if (reloaded?.result !== "applied" && reloaded?.result !== "unchanged") proxy.reloadCertificates();
  manager.ready(reloaded?.result === "refused" ? "serving; the last settings were refused" : "serving");
}

/** Does nothing unless the proxy runs. What is refused is in the log. */
async function reload(proxy: Millrace, cause: ReloadCause): Promise<Reload | null> {
  return proxy.state === "running" ? proxy.reload(undefined, cause) : null;
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
