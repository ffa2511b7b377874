/**
 * Where the admin API listens: a TCP address, or a socket in the file system that only its owner may open.
 */
import { chmodSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { dirname, join } from "node:path";
import type { AdminPlace } from "../config/addresses.js";
import { MillraceError, messageOf } from "../shared/errors.js";

/** How long whoever may still listen on a socket file has to take a connection, in ms. */
const ALIVE_MS_MAX = 1000;

/** The socket it was given, or what it may do to have one. */
export interface AdminSocket {
  /** Inherited and open; null = it opens its own. */
  readonly fd: number | null;
  /** Whoever still listens under the path is the process whose place we take. */
  readonly replaces: boolean;
}

/** Where it really listens: port 0 stands for a socket file, whose `address` is `unix:` and its path. */
export interface AdminListening {
  readonly address: string;
  readonly port: number;
  /** For a process that takes over; null for a socket file, which each process makes anew. */
  readonly fd: number | null;
  /** Takes the socket file away, if there is one and it is still ours. */
  readonly forget: () => void;
}

/**
 * Listens; resolves when connections are taken.
 *
 * @throws MillraceError `MILLRACE_LISTEN` when that cannot be.
 */
export async function listen(server: Server, place: AdminPlace, socket: AdminSocket): Promise<AdminListening> {
  try {
    if (socket.fd !== null) {
      const { fd } = socket;
      await begin(server, () => server.listen({ fd }));
      return placeOf(server);
    }
    if (place.kind === "tcp") {
      await begin(server, () => server.listen({ host: place.address, port: place.port }));
      return placeOf(server);
    }
    return await listenAtPath(server, place.path, socket.replaces);
  } catch (thrown) {
    const where = place.kind === "tcp" ? `${place.address} port ${place.port}` : place.path;
    const says = `Cannot listen for the admin API on ${where}: ${messageOf(thrown)}`;
    throw new MillraceError("MILLRACE_LISTEN", says, { cause: thrown });
  }
}

/** Of a socket that is no file of ours. */
function placeOf(server: Server): AdminListening {
  const at = server.address() as AddressInfo | string | null;
  const place =
    typeof at === "object" && at !== null ? { address: at.address, port: at.port } : { address: `unix:${at}`, port: 0 };
  return { ...place, fd: descriptorOf(server), forget: () => {} };
}

/** Node.js keeps it to itself; where it could not be had, the process that takes over cannot listen, and says so. */
function descriptorOf(server: Server): number | null {
  const { _handle: handle } = server as unknown as { readonly _handle?: { readonly fd?: number } };
  return handle?.fd ?? null;
}

/**
 * The socket is made under another name and then put under its own, which replaces that of the process before us within
 * the call: at no time is there none. (Node.js removes the name it was made under when it closes, and that is gone then.)
 */
async function listenAtPath(server: Server, path: string, replaces: boolean): Promise<AdminListening> {
  if (!replaces) await removeLeftover(path);
  const before = join(dirname(path), `.${process.pid}`);
  await begin(server, () => listenPrivately(server, before));
  const { ino } = lstatSync(before);
  renameSync(before, path);
  const forget = () => {
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) unlinkSync(path);
  };
  return { address: `unix:${path}`, port: 0, fd: null, forget };
}

function begin(server: Server, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    start();
  });
}

/** The file is made within the call, so no other may be made with this mask, and nobody finds it open meanwhile. */
function listenPrivately(server: Server, path: string): void {
  const before = setMask(0o177);
  try {
    server.listen({ path });
  } finally {
    if (before !== null) setMask(before);
  }
  // Where the mask could not be set: in a worker thread of somebody's program.
  if (before === null) server.once("listening", () => chmodSync(path, 0o600));
}

function setMask(mask: number): number | null {
  try {
    return process.umask(mask);
  } catch {
    return null;
  }
}

/** A socket that a process left behind when it was killed is taken away; anything else stays and is said. */
async function removeLeftover(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error("there is a file of this name that is no socket");
  if (await isAlive(path)) throw new Error("another program listens on it");
  unlinkSync(path);
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: ALIVE_MS_MAX });
    const end = (alive: boolean) => {
      socket.destroy();
      resolve(alive);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(true));
    socket.once("error", () => end(false));
  });
}
