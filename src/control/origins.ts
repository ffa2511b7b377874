/**
 * Everything the control plane does about the origins of one running proxy: their names, their targets' health, what is
 * told about them. Puts keeper, names and plan together; the parts know nothing of each other.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { describePath } from "../config/complaints.js";
import { type Change, describeChange } from "../config/describe-change.js";
import { diffPlans, isNoChange, placeListeners } from "../config/diff.js";
import type { DnsFault } from "../config/names.js";
import { compilePlan, namesToResolve } from "../config/plan.js";
import { compileHealth } from "../config/plan-origins.js";
import type { Plan } from "../config/plan-types.js";
import { RouteSlots } from "../config/route-slots.js";
import type { Settings } from "../config/settings.js";
import type { TlsMaterial } from "../config/tls-files.js";
import type { PlanTaken } from "../native.js";
import { messageOf } from "../shared/errors.js";
import type { Log, Note } from "../shared/log.js";
import type { HealthPolicy } from "../shared/policies.js";
import { ConnectionGatherer, type Connections } from "./connections.js";
import { curlTls, type Explanation, readExplanation } from "./curl-command.js";
import type { ExplainRequest } from "./explain.js";
import { type Drained, HealthKeeper, type TargetReport } from "./health.js";
import { type NameReport, Names } from "./resolve.js";
import { Scheduler } from "./scheduler.js";
import type { TargetPort } from "./targets.js";

/** What is asked of the core while a proxy runs. */
export interface CorePort extends TargetPort {
  /** Throws what the core cannot run. */
  readonly installPlan: (plan: Plan) => void;
  readonly planTaken: () => PlanTaken;
  /** JSON. */
  readonly explain: (request: ExplainRequest) => string;
  readonly dumpConnections: (ticket: number) => void;
}

/** One origin as it is now. */
export interface OriginReport {
  readonly name: string;
  /** Why it has no targets; null = it has some. */
  readonly unresolved: DnsFault | null;
  readonly policy: HealthPolicy;
  readonly targets: readonly TargetReport[];
}

/** All origins as they are now. */
export interface OriginsReport {
  readonly origins: readonly OriginReport[];
  readonly names: readonly NameReport[];
}

/** A plan that was made for the core, and what was new in it. */
export interface PlanChange {
  readonly at: string;
  readonly generation: number;
  readonly what: string;
}

/** Plans that are remembered. */
const PLANS_MAX = 20;
type Policies = ReadonlyMap<string, HealthPolicy>;

/** What plans are made from, until other settings come. */
export interface Ground {
  readonly settings: Settings;
  /** What certificate files hold at the moment. */
  readonly material: () => TlsMaterial;
  readonly policies: Policies;
  readonly scheduler: Scheduler;
  readonly names: Names;
}

/** How often it is looked whether workers have come to a plan, in ms. */
const SETTLE_LOOK_MS = 5;

/** From before the launch of a proxy to its stop. */
export class Origins {
  readonly #workers: number;
  readonly #log: Log;
  readonly #scheduler: Scheduler;
  #ground: Ground;
  #plan: Plan | null = null;
  #generation = 0;
  #plans: readonly PlanChange[] = [];
  readonly #slots = new RouteSlots();
  #attached: { readonly core: CorePort; readonly keeper: HealthKeeper; readonly gatherer: ConnectionGatherer } | null =
    null;

  /** @param material What certificate files hold at the moment. */
  constructor(settings: Settings, workers: number, material: () => TlsMaterial, log: Log) {
    this.#workers = workers;
    this.#log = log;
    this.#scheduler = new Scheduler((thrown) => this.#tellFailure(thrown));
    this.#ground = this.#layGround(settings, material, null);
  }

  /** Looks the names up and compiles the first plan. A name that does not resolve stops nothing. */
  async resolve(): Promise<Plan> {
    await this.#ground.names.start();
    this.#plan = this.#compile(this.#ground);
    this.#countPlan("the start");
    return this.#plan;
  }

  /** The proxy runs: its targets are watched from now on. */
  attach(core: CorePort): void {
    const keeper = new HealthKeeper({
      port: core,
      policyOf: (origin) => this.#policyOf(origin),
      scheduler: this.#scheduler,
      log: this.#log,
      handleUnreachable: (target) => this.#ground.names.handleUnreachable(target.address),
      handleReachable: (target) => this.#ground.names.handleReachable(target.address),
    });
    this.#attached = { core, keeper, gatherer: new ConnectionGatherer(core.dumpConnections) };
    keeper.look();
  }

  /** Takes a note of the core; false = it is not about origins. Never throws: a note must not end the process. */
  handleNote(note: Note): boolean {
    try {
      return this.#takeNote(note);
    } catch (thrown) {
      this.#tellFailure(thrown);
      return true;
    }
  }

  #takeNote(note: Note): boolean {
    const { event, target, class: faultClass, rung, ok, micros, why } = note;
    const [number, reason] = [Number(target), typeof why === "string" ? why : ""];
    switch (event) {
      case "target_troubled":
        this.#attached?.keeper.handleTrouble({ target: number, class: String(faultClass), rung: Number(rung) });
        return true;
      case "check":
        this.#attached?.keeper.handleCheck({ target: number, ok: ok === true, micros: Number(micros), why: reason });
        return true;
      case "connections":
        this.#attached?.gatherer.handleNote(note);
        return true;
      default:
        return false;
    }
  }

  /**
   * Something that the plan is made of is another: a new plan, with health and connections kept for every address that
   * stays. False = the core refuses it, which is said, or the proxy does not run.
   *
   * @param what What is new, for the log.
   */
  install(what: string): boolean {
    if (this.#attached === null) return false;
    try {
      const plan = this.#compile(this.#ground);
      this.#attached.core.installPlan(plan);
      this.#plan = plan;
      this.#countPlan(what);
    } catch (thrown) {
      this.#log.error({ says: messageOf(thrown) }, `the core refuses a plan with ${what}; the old one goes on`);
      return false;
    }
    this.#attached.keeper.look();
    return true;
  }

  /**
   * Looks up the names of other settings. Changes nothing: what is laid is taken by `take` or given up by `drop`.
   *
   * @param material What their certificate files hold at the moment.
   */
  async prepare(settings: Settings, material: () => TlsMaterial): Promise<Ground> {
    const ground = this.#layGround(settings, material, this.#ground.names);
    await ground.names.start();
    return ground;
  }

  drop(ground: Ground): void {
    ground.scheduler.close();
    ground.names.close();
  }

  /**
   * Other settings from now on, in all workers: what they do not touch goes on as it is. Only while attached.
   *
   * @returns What changed of the plan.
   * @throws Error what cannot be run or opened; nothing has changed then.
   */
  take(ground: Ground): readonly Change[] {
    const { core, keeper } = this.#running();
    const before = this.#plan;
    if (before === null) throw new Error("there is no plan yet");
    const plan = this.#compile(ground);
    const change = diffPlans(before, plan);
    if (!isNoChange(change)) {
      core.installPlan(plan);
      this.#plan = plan;
      this.#countPlan("other settings");
    }
    const old = this.#ground;
    this.#ground = ground;
    this.drop(old);
    keeper.look();
    return [...describeChange(before, change), ...describePolicies(old.policies, ground.policies)];
  }

  /** Waits for workers that have not come to the present plan yet, and names those that have not in time. */
  async settle(waitMs: number): Promise<readonly number[]> {
    for (const untilMs = performance.now() + waitMs; ; await sleep(SETTLE_LOOK_MS)) {
      const { workers, listeners } = this.#attached?.core.planTaken() ?? { workers: [], listeners: true };
      const behind = [...workers.entries()].filter(([, generation]) => generation + 1 < this.#generation);
      if ((behind.length === 0 && listeners) || performance.now() > untilMs) return behind.map(([worker]) => worker);
    }
  }

  /** By worker: which plan it runs; empty while nothing does. */
  get generations(): readonly number[] {
    return this.#attached?.core.planTaken().workers.map((generation) => generation + 1) ?? [];
  }

  /** Plans made for the core so far, the first included. */
  get generation(): number {
    return this.#generation;
  }

  /** Names of the routes that have a place of their own in the stats block, in the order of these. */
  get routeNames(): readonly string[] {
    return this.#slots.names;
  }

  /** The latest of them, the oldest first. */
  get plans(): readonly PlanChange[] {
    return this.#plans;
  }

  /** By class of this host's own faults: how often its alarm was raised. */
  get localAlarms(): Readonly<Record<string, number>> {
    return this.#attached?.keeper.localAlarms ?? {};
  }

  report(): OriginsReport {
    const targets = this.#attached?.keeper.report() ?? [];
    const origins = (this.#plan?.origins ?? []).map(({ name, unresolved }) => ({
      name,
      unresolved: unresolved ?? null,
      policy: this.#policyOf(name),
      targets: targets.filter((one) => one.origin === name),
    }));
    return { origins, names: this.#ground.names.report() };
  }

  /** Only while attached. */
  explain(request: ExplainRequest): Explanation {
    return readExplanation(this.#running().core.explain(request), (explained) =>
      curlTls(this.#ground.settings, explained),
    );
  }

  /** Only while attached. */
  drain(origin: string, target: string, undo: boolean): Drained {
    return this.#running().keeper.drain(origin, target, undo);
  }

  /** Only while attached. */
  connections(): Promise<Connections> {
    return this.#running().gatherer.gather(this.#workers);
  }

  /** The proxy stops: nothing is looked up, read or told any more. */
  close(): void {
    this.drop(this.#ground);
    this.#scheduler.close();
    this.#attached = null;
  }

  #countPlan(what: string): void {
    this.#generation += 1;
    const change = { at: new Date().toISOString(), generation: this.#generation, what };
    this.#plans = [...this.#plans, change].slice(-PLANS_MAX);
  }

  #tellFailure(thrown: unknown): void {
    this.#log.error({ says: messageOf(thrown) }, "the health of targets could not be judged; they stay as they are");
  }

  #policyOf(origin: string): HealthPolicy {
    const policy = this.#ground.policies.get(origin);
    if (policy === undefined) throw new Error(`the core knows an origin "${origin}" that no settings name`);
    return policy;
  }

  #running() {
    if (this.#attached === null) throw new Error("the proxy does not run");
    return this.#attached;
  }

  #layGround(settings: Settings, material: () => TlsMaterial, known: Names | null): Ground {
    const scheduler = new Scheduler((thrown) => this.#tellFailure(thrown));
    const names = new Names(
      {
        names: namesToResolve(settings),
        policy: settings.dns,
        scheduler,
        log: this.#log,
        handleChange: () => void this.install("new addresses"),
      },
      known,
    );
    return { settings, material, policies: compileHealth(settings), scheduler, names };
  }

  #compile({ settings, material, names }: Ground): Plan {
    const outside = { workers: this.#workers, material: material(), slots: this.#slots };
    const surroundings = { ...outside, ...names.addresses() };
    const plan = compilePlan(settings, surroundings);
    return this.#plan === null ? plan : placeListeners(this.#plan, plan);
  }
}

/** Origins that stay and whose health is judged by other numbers; the core is not told of them. */
function describePolicies(before: Policies, after: Policies): readonly Change[] {
  const others = [...after].filter(
    ([name, policy]) => before.has(name) && !isDeepStrictEqual(before.get(name), policy),
  );
  return others.map(([name]) => ({ path: describePath(["origins", name, "health"]), says: "changed" }));
}
