/**
 * The life of a proxy: what a start comes to, how it is stopped, what it tells its owner, and which parts it has when.
 */
import type { Admin } from "./admin/server.js";
import type { Certificates } from "./control/certificates.js";
import type { Origins } from "./control/origins.js";
import type { Replacement, Supervisor } from "./control/supervisor.js";
import type { Upgraded } from "./control/upgrade.js";
import type { ListenerPlace } from "./native.js";

/** What a start comes to. */
export interface Started {
  /** Where each listener really listens, in the order of the settings; ports are never 0. */
  readonly listeners: readonly ListenerPlace[];
  /** Where the admin API listens, or null when there is none. A socket file is `unix:` and its path, with port 0. */
  readonly admin: { readonly address: string; readonly port: number } | null;
  /** Edge workers at work. */
  readonly workers: number;
}

/** Which plan runs where. */
export interface Plans {
  /** Plans made since the start, the first included; other settings, addresses and certificates make one. */
  readonly generation: number;
  /** By worker; behind `generation` for the length of a turn. */
  readonly generations: readonly number[];
  /** Where it is listened now. */
  readonly listeners: readonly ListenerPlace[];
}

/** How a proxy is stopped. */
export interface StopOptions {
  /** How long requests in flight may take, in ms; else `shutdown.deadlineMs` of the settings. */
  readonly deadlineMs?: number;
  /** How long everything is served as before, while it is no longer ready, in ms; else 0. */
  readonly delayMs?: number;
}

/** What a proxy tells its owner. */
export interface MillraceEvents {
  /** A thread died and another sits in its place. */
  readonly workerReplaced: [Replacement];
  /** Another process has taken over and is ready; this one is to be stopped. */
  readonly handedOver: [Upgraded];
}

/** A running proxy's parts. */
export interface Running {
  readonly kind: "running";
  readonly supervisor: Supervisor;
  readonly origins: Origins;
  readonly certificates: Certificates;
  readonly admin: Admin | null;
  readonly sinceMs: number;
}

/** Where in its life a proxy is, and what it has there. */
export type State =
  | { readonly kind: "stopped" }
  | { readonly kind: "starting" }
  | Running
  | {
      readonly kind: "stopping";
      readonly supervisor: Supervisor;
      readonly certificates: Certificates;
      readonly sinceMs: number;
      readonly done: Promise<void>;
    };
