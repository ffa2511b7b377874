/**
 * What the service manager that started us is told (sd_notify(3)): ready, reloading, stopping, who has taken over, and,
 * where it asks for that, that the main thread still turns. Silent where nobody has asked (no NOTIFY_SOCKET), and
 * nothing is lost but the manager's knowledge when it cannot be told.
 */
import { loadNative } from "../native.js";

/** Sends one datagram to the manager's socket. */
export type SendNotice = (address: string, text: string) => void;

/** What is told, by the way of `environment`, to whoever has set it. */
export class ServiceManager {
  readonly #address: string | null;
  readonly #send: SendNotice;
  readonly #watchdogMs: number | null;
  #watchdog: NodeJS.Timeout | null = null;
  /** Another process answers for the service now. */
  #isOver = false;

  /** @param takesOver Whether this process takes the place of the one that the environment was made for. */
  constructor(environment: NodeJS.ProcessEnv, pid: number, takesOver: boolean, send: SendNotice = sendNotice) {
    const { NOTIFY_SOCKET: address, WATCHDOG_USEC: micros, WATCHDOG_PID: watched } = environment;
    this.#address = address === undefined || address === "" ? null : address;
    this.#send = send;
    const isOurs = watched === undefined || watched === String(pid) || takesOver;
    this.#watchdogMs = micros !== undefined && isOurs && Number(micros) > 0 ? Number(micros) / 1000 : null;
  }

  /** Clients are served. Of a process that takes over, the one before it says so: it is the one that is listened to. */
  ready(status: string): void {
    this.#say("READY=1", `STATUS=${status}`);
  }

  /** From the asking on, twice within the time the manager has set: half of it may be lost to a busy machine. */
  startWatchdog(): void {
    if (this.#address === null || this.#watchdogMs === null) return;
    this.#watchdog = setInterval(() => this.#say("WATCHDOG=1"), this.#watchdogMs / 2);
    this.#watchdog.unref();
  }

  /** Settings are read again, or another process starts; `ready` or `handedOver` ends it. */
  reloading(): void {
    this.#say("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** Another process of this service is its main process from now on, and ready. */
  handedOver(pid: number): void {
    this.#say(`MAINPID=${pid}`, "READY=1", `STATUS=process ${pid} has taken over`);
    this.#end();
  }

  stopping(): void {
    this.#say("STOPPING=1");
    this.#end();
  }

  /** What is stopping needs not be watched, and who has handed over speaks for nobody. */
  #end(): void {
    this.#isOver = true;
    if (this.#watchdog !== null) clearInterval(this.#watchdog);
  }

  #say(...lines: readonly string[]): void {
    if (this.#address === null || this.#isOver) return;
    try {
      this.#send(this.#address, lines.join("\n"));
    } catch {
      // A manager that is gone needs not know; it will find us by other ways, or has given us up.
    }
  }
}

function sendNotice(address: string, text: string): void {
  loadNative().notify(address, text);
}
