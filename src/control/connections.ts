/**
 * The connections of all workers, gathered: each worker answers a ticket with one note, and who has not answered in time
 * is named.
 */

/** How long workers may take to answer, in ms. */
export const GATHER_MS_MAX = 1000;

/** The connections of one worker, as it says them. */
export interface WorkerConnections {
  readonly worker: number;
  readonly clients: readonly unknown[];
  readonly origins: readonly unknown[];
}

/** The connections of one moment. */
export interface Connections {
  readonly workers: readonly WorkerConnections[];
  /** Workers that did not answer in time: stuck, or being replaced. */
  readonly silent: readonly number[];
}

interface Gathering {
  readonly answers: Map<number, WorkerConnections>;
  readonly workers: number;
  readonly finish: () => void;
}

/** Asks and gathers for one proxy. */
export class ConnectionGatherer {
  readonly #ask: (ticket: number) => void;
  readonly #waitMs: number;
  readonly #gatherings = new Map<number, Gathering>();
  #lastTicket = 0;

  constructor(ask: (ticket: number) => void, waitMs: number = GATHER_MS_MAX) {
    this.#ask = ask;
    this.#waitMs = waitMs;
  }

  /** Resolves when every worker has answered or the time is over. */
  async gather(workers: number): Promise<Connections> {
    this.#lastTicket += 1;
    const ticket = this.#lastTicket;
    const answers = new Map<number, WorkerConnections>();
    await new Promise<void>((resolve) => {
      const overdue = setTimeout(resolve, this.#waitMs);
      const finish = () => {
        clearTimeout(overdue);
        resolve();
      };
      this.#gatherings.set(ticket, { answers, workers, finish });
      this.#ask(ticket);
    });
    this.#gatherings.delete(ticket);
    const all = Array.from({ length: workers }, (_, worker) => worker);
    return {
      workers: all.flatMap((worker) => answers.get(worker) ?? []),
      silent: all.filter((worker) => !answers.has(worker)),
    };
  }

  /** A worker's note; one that comes too late, or twice, is left out. */
  handleNote(note: Readonly<Record<string, unknown>>): void {
    const { ticket, worker, clients, origins } = note;
    const gathering = typeof ticket === "number" ? this.#gatherings.get(ticket) : undefined;
    if (gathering === undefined || typeof worker !== "number" || worker >= gathering.workers) return;
    gathering.answers.set(worker, { worker, clients: listOf(clients), origins: listOf(origins) });
    if (gathering.answers.size === gathering.workers) gathering.finish();
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
