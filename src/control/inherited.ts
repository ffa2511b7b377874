/**
 * Sockets this process was started with: a service manager has opened them (LISTEN_FDS of sd_listen_fds(3)), or the
 * process whose place it takes. Reads what the environment says of them, gives each to whom it is for, once, and closes
 * what is for nobody. What an own socket is for stands as it was written in the settings, so that another address in the
 * settings is another socket.
 */
import { closeSync } from "node:fs";
import type { ListenAddress } from "../config/addresses.js";
import { MillraceError } from "../shared/errors.js";

/** What a process tells the one that takes its place; JSON in the environment variable `UPGRADE_VARIABLE`. */
export interface Handed {
  /** Number of the process that hands over. */
  readonly from: number;
  readonly sockets: readonly InheritedSocket[];
}

/** A listening socket, open under this descriptor. */
export type InheritedSocket = { readonly fd: number } & SocketPurpose;

/** What a socket is for: the process before us had opened it for an address of its settings, or a manager named it. */
export type SocketPurpose =
  | { readonly kind: "listener" | "admin"; readonly written: string }
  | { readonly kind: "activated"; readonly name: string };

/** One listener, as far as sockets are concerned. */
export interface Listening extends ListenAddress {
  readonly name: string;
}

/** Looks where a descriptor listens; throws where it does not. */
export type PlaceOf = (fd: number) => ListenAddress;

/** Name of the variable a process hands its sockets over with. */
export const UPGRADE_VARIABLE = "MILLRACE_UPGRADE";
/** Name by which a service manager gives the admin API its socket. */
const ADMIN_NAME = "admin";
/** Descriptors of a service manager begin here. */
const FIRST_FD = 3;

/** How an address stands in what is handed over. */
export function written({ address, port }: ListenAddress): string {
  return `${address} ${port}`;
}

/** Everything this process inherited, until it was given away. */
export class Inherited {
  /** The process whose place this one takes; null = it takes nobody's. */
  readonly from: number | null;
  readonly #left: Set<InheritedSocket>;

  constructor(from: number | null, sockets: readonly InheritedSocket[]) {
    this.from = from;
    this.#left = new Set(sockets);
  }

  /** Reads the environment and forgets it there: children of ours inherit none of it. */
  static take(environment: NodeJS.ProcessEnv, pid: number): Inherited {
    const { LISTEN_PID: listenPid, LISTEN_FDS: count, LISTEN_FDNAMES: names, [UPGRADE_VARIABLE]: handed } = environment;
    for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", UPGRADE_VARIABLE]) delete environment[name];
    if (handed !== undefined) return Inherited.#handed(handed);
    // Meant for another process, whose environment we have got.
    if (listenPid !== String(pid)) return new Inherited(null, []);
    const named = names?.split(":") ?? [];
    const sockets = Array.from({ length: Number(count ?? 0) }, (_, index) => {
      return { kind: "activated", fd: FIRST_FD + index, name: named[index] ?? "unknown" } as const;
    });
    return new Inherited(null, sockets);
  }

  static #handed(text: string): Inherited {
    try {
      const { from, sockets } = JSON.parse(text) as Handed;
      return new Inherited(from, sockets);
    } catch (cause) {
      const says = `${UPGRADE_VARIABLE} of the environment is nothing that another process of Millrace has handed over`;
      throw new MillraceError("MILLRACE_START", says, { cause });
    }
  }

  /** By listener, the socket that is for it, or null: by address as written or by name, else by where it listens. */
  forListeners(listeners: readonly Listening[], placeOf: PlaceOf): readonly (InheritedSocket | null)[] {
    const known = listeners.map((listener) =>
      this.#give((socket) =>
        socket.kind === "activated"
          ? socket.name === listener.name
          : socket.kind === "listener" && socket.written === written(listener),
      ),
    );
    return listeners.map((listener, index) => known[index] ?? this.#giveByPlace(listener, placeOf));
  }

  /** The socket that is for the admin API, or null. An address is null where it is a socket of the file system. */
  forAdmin(place: ListenAddress | null, placeOf: PlaceOf): InheritedSocket | null {
    const known = this.#give((socket) =>
      socket.kind === "activated"
        ? socket.name === ADMIN_NAME
        : socket.kind === "admin" && place !== null && socket.written === written(place),
    );
    return known ?? (place === null ? null : this.#giveByPlace(place, placeOf));
  }

  /** Closes what was for nobody, and says what that was. */
  closeRest(): readonly InheritedSocket[] {
    const rest = [...this.#left];
    this.#left.clear();
    for (const { fd } of rest) closeQuietly(fd);
    return rest;
  }

  #give(isFor: (socket: InheritedSocket) => boolean): InheritedSocket | null {
    const found = [...this.#left].find(isFor) ?? null;
    if (found !== null) this.#left.delete(found);
    return found;
  }

  #giveByPlace(wanted: ListenAddress, placeOf: PlaceOf): InheritedSocket | null {
    return this.#give((socket) => socket.kind === "activated" && listensThere(socket.fd, wanted, placeOf));
  }
}

const UNSPECIFIED: readonly string[] = ["0.0.0.0", "::"];

/** A manager that was told a port only listens on every address of both families, which is every IPv4 address too. */
function listensThere(fd: number, wanted: ListenAddress, placeOf: PlaceOf): boolean {
  try {
    const { address, port } = placeOf(fd);
    const all = address === "::" && UNSPECIFIED.includes(wanted.address);
    return port === wanted.port && (address === wanted.address || all);
  } catch {
    return false;
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // It was announced and never there: nothing is open, which is what is wanted.
  }
}
