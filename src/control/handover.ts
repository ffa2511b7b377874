/**
 * What a proxy has of the process before it and gives to the one after it: sockets. A proxy inside somebody else's program
 * has neither, for what that program is started with is not ours to read, nor ours to start again.
 */
import type { AdminPlace, ListenAddress } from "../config/addresses.js";
import type { Settings } from "../config/settings.js";
import { loadNative, type OpenSocket } from "../native.js";
import { MillraceError } from "../shared/errors.js";
import type { Log } from "../shared/log.js";
import { Inherited, type InheritedSocket, type Listening, type SocketPurpose, written } from "./inherited.js";
import type { Upgraded, Upgrader } from "./upgrade.js";

/** What only a process of Millrace's own has. */
export interface OwnProcess {
  readonly inherited: Inherited;
  readonly upgrader: Upgrader;
}

/** One proxy's part of it, over its whole life. */
export class Handover {
  readonly #own: OwnProcess | null;
  readonly #inherited: Inherited;
  readonly #settings: () => Settings["upgrade"];
  readonly #log: Log;
  /** What a socket unit calls the sockets of listeners that it has opened, by listener. */
  readonly #activated = new Map<string, string>();
  #admin: SocketPurpose | null = null;
  #isDone = false;

  constructor(own: OwnProcess | null, settings: () => Settings["upgrade"], log: Log) {
    this.#own = own;
    this.#inherited = own?.inherited ?? new Inherited(null, []);
    this.#settings = settings;
    this.#log = log;
  }

  /** Another process has taken over. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** This process takes the place of another one, which may not have left yet. */
  get isSuccessor(): boolean {
    return this.#inherited.from !== null;
  }

  /** How long idle clients may still ask when this proxy leaves, in ms. */
  get idleMs(): number {
    return this.#isDone ? this.#settings().idleMs : 0;
  }

  /** One descriptor a listener, -1 where it opens its own. */
  forListeners(listeners: readonly Listening[]): readonly number[] {
    const found = this.#inherited.forListeners(listeners, placeOf);
    for (const [index, socket] of found.entries()) {
      const listener = listeners[index];
      if (socket?.kind !== "activated" || listener === undefined) continue;
      this.#activated.set(listener.name, socket.name);
      this.#tellOfOther(listener, socket.fd);
    }
    return found.map((socket) => socket?.fd ?? -1);
  }

  /** The admin API's inherited socket, if there is one; `replaces`: who listens under its path is whom we follow. */
  forAdmin(place: AdminPlace): { readonly fd: number | null; readonly replaces: boolean } {
    const address = place.kind === "tcp" ? place : null;
    const found = this.#inherited.forAdmin(address, placeOf);
    // A socket of the file system that we make ourselves is made anew by each process, under the same path.
    const own = address === null ? null : ({ kind: "admin", written: written(address) } as const);
    this.#admin = found?.kind === "activated" ? { kind: "activated", name: found.name } : own;
    return { fd: found?.fd ?? null, replaces: this.isSuccessor };
  }

  /** Closes sockets that nobody asked for; that is a mistake in a socket unit, or a listener that is gone. */
  closeRest(): void {
    for (const { fd, ...purpose } of this.#inherited.closeRest()) {
      this.#log.warn(purpose, "a socket this process was started with is for no listener, and was closed");
    }
  }

  /** Puts another process in the place of this one; see `Millrace.upgrade`. */
  async upgrade(listeners: readonly OpenSocket[], admin: number | null): Promise<Upgraded> {
    if (this.#own === null) {
      throw new MillraceError("MILLRACE_STATE", "this proxy is part of another program, which must replace itself");
    }
    if (this.#isDone) throw new MillraceError("MILLRACE_STATE", "another process has taken over already");
    const sockets: InheritedSocket[] = listeners.map((socket) => ({ fd: socket.fd, ...this.#purposeOf(socket) }));
    if (admin !== null && this.#admin !== null) sockets.push({ fd: admin, ...this.#admin });
    this.#log.info({}, "an upgrade begins");
    try {
      const upgraded = await this.#own.upgrader.start(sockets, this.#settings().readyMs);
      this.#isDone = true;
      this.#log.info(upgraded, "another process has taken over");
      return upgraded;
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#log.error({ why }, "the upgrade failed; this process serves on");
      throw thrown;
    }
  }

  #purposeOf(listener: Listening): SocketPurpose {
    const name = this.#activated.get(listener.name);
    return name === undefined ? { kind: "listener", written: written(listener) } : { kind: "activated", name };
  }

  /** The one who wrote the socket unit has the last word about the address, but may not know it. */
  #tellOfOther(listener: Listening, fd: number): void {
    const given = placeOf(fd);
    if (written(given) === written(listener)) return;
    const { name, address, port } = listener;
    this.#log.info({ listener: name, given, settings: { address, port } }, "a listener has the socket of its unit");
  }
}

function placeOf(fd: number): ListenAddress {
  return loadNative().inheritedPlace(fd);
}
