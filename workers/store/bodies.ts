/**
 * Bodies that are files: each named by the SHA-256 of its bytes, written under another name, brought to the disk and only
 * then given its own. Whoever reads one checks it. How often one is referred to is in the table (tables.ts).
 */
import { createHash, type Hash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

/** A body to be written, by its hash. */
export interface NewBody {
  readonly hash: Buffer;
  readonly length: number;
  readonly pieces: readonly Uint8Array[];
}

export function hashOf(pieces: readonly Uint8Array[]): Buffer {
  return pieces.reduce<Hash>((hash, piece) => hash.update(piece), createHash("sha256")).digest();
}

/** The files of one store. */
export class Bodies {
  readonly #folder: string;
  readonly #fresh: string;
  #count = 0;

  constructor(folder: string) {
    this.#folder = join(folder, "bodies");
    this.#fresh = join(folder, "fresh");
  }

  /** Makes the folders, and takes away what was being written when a process ended. */
  async prepare(): Promise<void> {
    await rm(this.#fresh, { recursive: true, force: true });
    await mkdir(this.#fresh, { recursive: true });
    await mkdir(this.#folder, { recursive: true });
  }

  pathOf(hash: Uint8Array): string {
    const name = Buffer.from(hash).toString("hex");
    return join(this.#folder, name.slice(0, 2), name);
  }

  /** Writes a body unless it is there already. When this returns it is on the disk, whole. */
  async write({ hash, length, pieces }: NewBody): Promise<void> {
    const path = this.pathOf(hash);
    const known = await stat(path).catch(() => null);
    if (known !== null && known.size === length) return;
    this.#count += 1;
    const fresh = join(this.#fresh, String(this.#count));
    try {
      const file = await open(fresh, "wx", 0o600);
      try {
        await file.writev([...pieces]);
        // One call may take less than it was given, on a disk that is nearly full above all.
        if ((await file.stat()).size !== length) throw new Error(`${fresh} is shorter than what was written`);
        await file.datasync();
      } finally {
        await file.close();
      }
      await mkdir(join(path, ".."), { recursive: true });
      await rename(fresh, path);
    } catch (thrown) {
      await unlink(fresh).catch(() => undefined);
      throw thrown;
    }
  }

  /** A body, or null if it is not there, or not what its name says. */
  async read(hash: Uint8Array, length: number): Promise<Buffer | null> {
    const bytes = await readFile(this.pathOf(hash)).catch(() => null);
    if (bytes === null || bytes.length !== length) return null;
    return hashOf([bytes]).equals(hash) ? bytes : null;
  }

  async remove(hash: Uint8Array): Promise<void> {
    await unlink(this.pathOf(hash)).catch(() => undefined);
  }

  /** Removes the files that `isKnown` does not know; returns how many. Asked again just before each is removed. */
  async sweep(isKnown: (hash: Buffer) => boolean): Promise<number> {
    let swept = 0;
    for (const folder of await readdir(this.#folder).catch(() => [])) {
      for (const name of await readdir(join(this.#folder, folder)).catch(() => [])) {
        const hash = Buffer.from(name, "hex");
        if (hash.length === 32 && isKnown(hash)) continue;
        await rm(join(this.#folder, folder, name), { force: true, recursive: true });
        swept += 1;
      }
    }
    return swept;
  }

  /** Writes and removes a file, as large as most bodies: whether the disk takes any. */
  async probe(): Promise<void> {
    const path = join(this.#fresh, "probe");
    const file = await open(path, "w", 0o600);
    try {
      await file.writeFile(Buffer.alloc(65_536, 1));
      await file.datasync();
    } finally {
      await file.close();
      await unlink(path).catch(() => undefined);
    }
  }
}
