/**
 * Where the admin API listens: a TCP address, or a socket in the file system that only its owner may open.
 */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { AdminPlace } from "../config/addresses.js";
import { MillraceError, messageOf } from "../shared/errors.js";

/** How long whoever may still listen on a socket file has to take a connection, in ms. */
const ALIVE_MS_MAX = 1000;

/** Where it really listens: port 0 stands for a socket file, whose `address` is `unix:` and its path. */
export interface AdminAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * Listens; resolves when connections are taken.
 *
 * @throws MillraceError `MILLRACE_LISTEN` when that cannot be.
 */
export async function listen(server: Server, place: AdminPlace): Promise<AdminAddress> {
  try {
    if (place.kind === "tcp") {
      await begin(server, () => server.listen({ host: place.address, port: place.port }));
      const { address, port } = server.address() as AddressInfo;
      return { address, port };
    }
    await removeLeftover(place.path);
    await begin(server, () => listenPrivately(server, place.path));
    return { address: `unix:${place.path}`, port: 0 };
  } catch (thrown) {
    const where = place.kind === "tcp" ? `${place.address} port ${place.port}` : place.path;
    const says = `Cannot listen for the admin API on ${where}: ${messageOf(thrown)}`;
    throw new MillraceError("MILLRACE_LISTEN", says, { cause: thrown });
  }
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
