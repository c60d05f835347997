/** Everything of one run of pools: processes that come and go, and what they were promised. */
import type { FaultSwitch } from "../faults.ts";
import type { Rng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import { openStore, type Store } from "../stores.ts";
import type { Trace } from "../trace.ts";
import { TaskLedger } from "./ledger.ts";
import { PoolLife } from "./life.ts";
import type { PoolMutantRun } from "./mutants/mutant.ts";
import type { PoolPlan, PoolsPlan } from "./plan.ts";
import { FOREVER, type SimTask, type TaskFate } from "./task.ts";
import { PoolWatch } from "./watch.ts";

/** A place for a process: one life after another. */
export interface Place {
  life: PoolLife | null;
  /** Virtual time of the next start while nobody lives here. */
  startAt: number;
}

/** Tasks of one call that were enqueued with keys, and are enqueued again now and then. */
export interface Repeat {
  readonly pool: number;
  readonly tasks: readonly SimTask[];
}

/** What the tasks of a call have in common. */
export type Common = Pick<SimTask, "serialKey" | "priority" | "afterMs" | "maxAttempts">;

export class PoolsWorld {
  readonly plan: PoolsPlan;
  readonly rng: Rng;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly store: Store;
  readonly ledger: TaskLedger;
  readonly watch: PoolWatch;
  readonly mutant: PoolMutantRun | null;
  readonly control: FaultSwitch = { on: true, injected: {} };
  readonly places: readonly Place[];
  /** Tasks by calls that promise all or nothing. */
  readonly bulks: (readonly number[])[] = [];
  readonly repeats: Repeat[] = [];
  acknowledged = 0;
  calls = 0;
  crashes = 0;
  /** Handlers that ended because their task was cancelled. */
  stoppedByCancel = 0;
  readonly #kills = new Map<number, number>();
  /** Their connections may still be in use while the event goes on that they died in. */
  #gone: PoolLife[] = [];
  #uid = 0;
  #lives = 0;

  constructor(plan: PoolsPlan, rng: Rng, trace: Trace, mutant: PoolMutantRun | null) {
    this.plan = plan;
    this.rng = rng;
    this.trace = trace;
    this.mutant = mutant;
    this.scheduler = new Scheduler(rng);
    this.store = openStore(plan.store);
    this.ledger = new TaskLedger(plan, this.scheduler);
    this.watch = new PoolWatch(this.ledger);
    this.places = Array.from({ length: plan.processes }, () => ({ life: null, startAt: 0 }));
  }

  note(who: string, what: string): void {
    this.trace.line(this.scheduler.now, who, what);
  }

  count(fault: string): void {
    this.control.injected[fault] = (this.control.injected[fault] ?? 0) + 1;
  }

  /** Those who live, whether or not they take calls. */
  alive(): PoolLife[] {
    return this.places.flatMap(({ life }) => life ?? []);
  }

  /** Those who take calls now. */
  up(): PoolLife[] {
    return this.alive().filter(({ up }) => up);
  }

  /** Starts whoever is due to start, and clears away after those who are gone. */
  startDue(): void {
    this.clearAway();
    for (const [n, place] of this.places.entries()) {
      if (place.life === null && place.startAt <= this.scheduler.now) {
        place.life = this.#start(n);
      }
    }
  }

  clearAway(): void {
    for (const life of this.#gone) life.door.slam();
    this.#gone = [];
  }

  #start(n: number): PoolLife {
    const number = ++this.#lives;
    const life = new PoolLife(this, number, `p${n + 1}.${number}`);
    this.note(life.name, "begins");
    void this.#startEngine(life);
    return life;
  }

  async #startEngine(life: PoolLife): Promise<void> {
    try {
      await life.engine.start();
      life.started = true;
    } catch (error) {
      if (life.state === "up") this.crash(life, `could not start: ${String(error)}`);
    }
  }

  /** The process is gone: nothing of it runs again. */
  crash(life: PoolLife, why: string): void {
    if (life.clock.dead) return;
    this.crashes++;
    this.note(life.name, `dies: ${why}`);
    this.bury(life);
  }

  /** Ends a life, whichever way it ended; another begins in its place after a while. */
  bury(life: PoolLife): void {
    life.clock.kill();
    this.#gone.push(life);
    const place = this.places.find((one) => one.life === life);
    if (place === undefined) return;
    place.life = null;
    place.startAt = this.scheduler.now + this.rng.exponential(this.plan.leaseMs);
  }

  /** True when this task kills its process once more. */
  mayKill(uid: number, times: number): boolean {
    const kills = this.#kills.get(uid) ?? 0;
    this.#kills.set(uid, kills + 1);
    return kills < times;
  }

  /** New tasks of one call, with a fate drawn for each. */
  newTasks(plan: PoolPlan, count: number, common: Common, isKeyed: boolean): SimTask[] {
    const call = this.#uid + 1;
    return Array.from({ length: count }, () => ({ ...this.newTask(plan, common, isKeyed), call }));
  }

  /** A new task of a call of its own. */
  newTask(plan: PoolPlan, common: Common, isKeyed: boolean): SimTask {
    const { rng } = this;
    const uid = ++this.#uid;
    const { slow, leaseMs } = this.plan;
    const workMs = rng.chance(slow) ? rng.between(1.2, 3) * leaseMs : rng.exponential(plan.workMs);
    return {
      uid,
      call: uid,
      ...common,
      notBefore: this.scheduler.now + common.afterMs,
      key: isKeyed ? `key ${uid}` : "",
      workMs: Math.round(workMs),
      fate: this.#fate(common.maxAttempts),
      pad: "x".repeat(rng.chance(0.1) ? rng.whole(20, 200) : 0),
    };
  }

  #fate(maxAttempts: number): TaskFate {
    const { rng, plan } = this;
    if (rng.chance(plan.killers)) return { kind: "kills", times: rng.pick([1, 1, FOREVER]) };
    if (rng.chance(plan.endless)) return { kind: "endless" };
    if (rng.chance(plan.poison)) return { kind: "works", until: FOREVER, final: false };
    if (rng.chance(plan.final)) return { kind: "works", until: FOREVER, final: true };
    const until = rng.chance(plan.flaky) ? rng.whole(1, maxAttempts) : 0;
    return { kind: "works", until, final: false };
  }

  /** `enqueue` resolved: from now on the task exists. */
  acknowledge({ uid }: SimTask, id: string): void {
    this.acknowledged++;
    const task = this.ledger.tasks.get(id);
    if (task?.args.uid === uid) return;
    const detail = `enqueue answered ${id} for ${uid}, which is ${task?.args.uid ?? "nowhere"}`;
    this.ledger.fail("acknowledged tasks exist", detail);
  }
}
