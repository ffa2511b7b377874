/**
 * Certificates of a running proxy: reads the files when it starts, and again when they change or SIGHUP asks. What is good
 * goes into a new plan; where a file is broken or half written, what it held before stays, which is said once, and the file
 * is taken when it becomes good. Says in time that a certificate ends.
 */
import type { Settings } from "../config/settings.js";
import {
  type FileComplaint,
  filesOf,
  NO_MATERIAL,
  readTlsFiles,
  type TlsMaterial,
  type Use,
  unitOf,
  usesOf,
} from "../config/tls-files.js";
import { messageOf, settingsError } from "../shared/errors.js";
import type { Log } from "../shared/log.js";
import { type CertificatesReport, daysUntil, endOf, reportCertificates } from "./certificate-report.js";
import { stateOfFile, type WatchFiles, type Watching, watchFiles } from "./folder-watch.js";
import { type Clock, Scheduler } from "./scheduler.js";

/** From a change of a file to the look at it: a certificate and its key are rarely written in one go. */
export const NOTICE_MS = 200;
/** How long a file that is broken at first sight may take to become good before it is complained about. */
export const SETTLE_MS = 1000;
/** How often files are looked at that no watcher told of, and dates. */
export const LOOK_MS = 30_000;
/** Days before its end at which a certificate is warned about. */
export const WARNING_DAYS: readonly number[] = [30, 7, 1];

export interface CertificatesOptions {
  readonly settings: Settings;
  readonly log: Log;
  /** Has the core run by the present `material`; false = it would not, and the one before is to stay. */
  readonly handleChange: () => boolean;
  readonly clock?: Clock;
  /** Time of day in ms since 1970. */
  readonly todayMs?: () => number;
  readonly watchFiles?: WatchFiles;
}

/** From before the launch of a proxy to its stop. */
export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #settings: Settings;
  readonly #uses: readonly Use[];
  readonly #log: Log;
  readonly #handleChange: () => boolean;
  readonly #scheduler: Scheduler;
  readonly #todayMs: () => number;
  readonly #watchFiles: WatchFiles;
  /** By use: state of its files when they were read last. */
  readonly #seen = new Map<Use, string>();
  /** Broken at first sight, when that was, and not complained about yet. */
  readonly #doubtful = new Map<Use, number>();
  /** By use: what was complained about. */
  readonly #told = new Map<Use, string>();
  /** By the fingerprint of a certificate: which warning it had. */
  readonly #warned = new Map<string, number>();
  #material: TlsMaterial = NO_MATERIAL;
  #watching: Watching | null = null;

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#uses = usesOf(options.settings);
    this.#log = options.log;
    this.#handleChange = options.handleChange;
    this.#scheduler = new Scheduler((thrown) => this.#tellFailure(thrown), options.clock);
    this.#todayMs = options.todayMs ?? Date.now;
    this.#watchFiles = options.watchFiles ?? watchFiles;
  }

  /**
   * Those of other settings, read for the first time, to be put in the place of these.
   *
   * @throws MillraceError `MILLRACE_SETTINGS` when something is wrong.
   */
  successor(settings: Settings): Certificates {
    const next = new Certificates({ ...this.#options, settings });
    // What was warned of is not said again.
    for (const [id, warning] of this.#warned) next.#warned.set(id, warning);
    next.load();
    return next;
  }

  /** What the plan is to be made of. */
  get material(): TlsMaterial {
    return this.#material;
  }

  /**
   * Reads everything for the first time.
   *
   * @throws MillraceError `MILLRACE_SETTINGS` when something is wrong.
   */
  load(): void {
    this.#remember(this.#uses);
    const { material, complaints } = readTlsFiles(this.#uses, this.#todayMs());
    if (complaints.length > 0) throw settingsError(complaints);
    this.#material = material;
  }

  /** The proxy runs: files are watched from now on. */
  watch(): void {
    if (this.#uses.length === 0) return;
    this.#watching = this.#watchFiles(this.#uses.flatMap(filesOf), () => {
      this.#scheduler.atLatest("look", this.#scheduler.nowMs + NOTICE_MS, () => this.#look());
    });
    this.#lookAround();
  }

  /** Reads everything again now, changed or not, and says what is wrong even if it was said before. */
  reload(): void {
    if (this.#uses.length === 0) return;
    this.#told.clear();
    this.#read(this.#uses, false);
    this.#warnOfEnds();
  }

  report(): CertificatesReport {
    const troubles = new Map([...this.#told].map(([use, says]) => [unitOf(use), says]));
    return reportCertificates(this.#settings, this.#material, this.#todayMs(), troubles);
  }

  close(): void {
    this.#watching?.close();
    this.#watching = null;
    this.#scheduler.close();
  }

  /** What watchers do not tell: other file systems, dates. */
  #lookAround(): void {
    this.#scheduler.at("look around", this.#scheduler.nowMs + LOOK_MS, () => this.#lookAround());
    this.#look();
    this.#warnOfEnds();
    this.#watching?.refresh();
  }

  #look(): void {
    const changed = this.#uses.filter((use) => this.#seen.get(use) !== stateOf(use));
    if (changed.length > 0) this.#read(changed, true);
  }

  /** @param isPatient Whether a file that is broken at first sight gets time to become good. */
  #read(uses: readonly Use[], isPatient: boolean): void {
    this.#remember(uses);
    const { material, complaints } = readTlsFiles(uses, this.#todayMs());
    const broken = new Map(complaints.map((complaint) => [complaint.use, complaint]));
    for (const use of uses) {
      const complaint = broken.get(use);
      if (complaint === undefined) this.#handleGood(use);
      else if (isPatient && this.#isNewlyBroken(use)) this.#doubt(use);
      else this.#complain(use, complaint);
    }
    this.#take(material);
    this.#watching?.refresh();
  }

  #handleGood(use: Use): void {
    this.#doubtful.delete(use);
    if (this.#told.delete(use)) this.#log.info({ files: filesOf(use) }, "a certificate file is good again");
  }

  #isNewlyBroken(use: Use): boolean {
    const sinceMs = this.#doubtful.get(use);
    return sinceMs === undefined || this.#scheduler.nowMs < sinceMs + SETTLE_MS;
  }

  #doubt(use: Use): void {
    const sinceMs = this.#doubtful.get(use) ?? this.#scheduler.nowMs;
    this.#doubtful.set(use, sinceMs);
    // Looked at again as if it had changed.
    this.#seen.delete(use);
    this.#scheduler.atLatest("look", sinceMs + SETTLE_MS, () => this.#look());
  }

  #complain(use: Use, { path, says }: FileComplaint): void {
    this.#doubtful.delete(use);
    if (this.#told.get(use) === says) return;
    this.#told.set(use, says);
    this.#log.warn({ path, says }, "a certificate file is broken; what it held before stays in use");
  }

  /** Puts what was read in place of what was there; if the core will not have it, nothing changes. */
  #take(read: TlsMaterial): void {
    const before = this.#material;
    const after: TlsMaterial = {
      pairs: new Map([...before.pairs, ...read.pairs]),
      authorities: new Map([...before.authorities, ...read.authorities]),
      revocations: new Map([...before.revocations, ...read.revocations]),
    };
    const changed = differences(before, after);
    if (changed.length === 0) return;
    this.#material = after;
    if (this.#handleChange()) this.#log.info({ files: changed }, "certificates were reloaded");
    else this.#material = before;
  }

  #remember(uses: readonly Use[]): void {
    // Before they are read: what changes meanwhile is then seen to have changed.
    for (const use of uses) this.#seen.set(use, stateOf(use));
  }

  #warnOfEnds(): void {
    for (const pair of this.#material.pairs.values()) {
      const daysLeft = daysUntil(endOf(pair), this.#todayMs());
      const warning = daysLeft < 0 ? 0 : Math.min(...WARNING_DAYS.filter((days) => daysLeft < days));
      const id = pair.certificates.map((one) => one.fingerprint256).join();
      if (warning === Number.POSITIVE_INFINITY || this.#warned.get(id) === warning) continue;
      this.#warned.set(id, warning);
      const facts = { file: pair.file, notAfter: new Date(endOf(pair)).toISOString(), daysLeft };
      if (warning === 0) this.#log.error(facts, "a certificate has expired");
      else this.#log.warn(facts, `a certificate expires within ${warning === 1 ? "a day" : `${warning} days`}`);
    }
  }

  #tellFailure(thrown: unknown): void {
    this.#log.error({ says: messageOf(thrown) }, "certificates could not be looked at; they stay as they are");
  }
}

/** The files whose content is another one. */
function differences(before: TlsMaterial, after: TlsMaterial): readonly string[] {
  const pairs = [...after.pairs].flatMap(([unit, { file, chain, key }]) => {
    const old = before.pairs.get(unit);
    return old?.chain === chain && old.key === key ? [] : [file];
  });
  const authorities = [...after.authorities.values()]
    .filter(({ file, pem }) => before.authorities.get(file)?.pem !== pem)
    .map(({ file }) => file);
  const revocations = [...after.revocations].flatMap(([file, pem]) =>
    before.revocations.get(file) === pem ? [] : [file],
  );
  return [...pairs, ...authorities, ...revocations];
}

/** One text that changes with the files of a use, through all links. */
function stateOf(use: Use): string {
  return filesOf(use).map(stateOfFile).join(" ");
}
