/**
 * Workers on virtual time: processes that die, are suspended and stop, rows that are inserted and
 * pinged, users that stop, start and kick, and a storage that fails. First with faults, then quiet:
 * everything that was pinged must come to its end, once.
 */
import { Batchwork, type Logger, type Storage, type Worker } from "batchwork";
import { faultyStorage } from "../../packages/batchwork/src/testing/faulty-storage.ts";
import { faultSchedule, type FaultSwitch } from "../faults.ts";
import { Rng } from "../rng.ts";
import { Scheduler, type ProcessClock } from "../scheduler.ts";
import { Trace } from "../trace.ts";
import type { LoopMutant } from "./mutants.ts";
import { loopPlanOf, type LoopPlan } from "./plan.ts";
import { openTable, type Table } from "./table.ts";
import { Watch, type LoopViolation } from "./watch.ts";

export interface LoopRunResult {
  readonly seed: number;
  readonly plan: LoopPlan;
  readonly violation: LoopViolation | null;
  readonly tail: readonly string[];
  readonly hash: string;
  readonly done: number;
  readonly dead: number;
  readonly crashes: number;
  readonly steps: number;
  readonly claims: number;
}

export interface LoopRunOptions {
  readonly mutant?: LoopMutant;
  readonly print?: (line: string) => void;
}

/** How a row behaves: `fails` so often, and `kills` its process so often, before it is fine. */
interface Fate {
  fails: number;
  kills: number;
}

interface Life {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly engine: Batchwork;
  readonly worker: Worker<readonly number[]>;
  readonly slam: () => void;
}

/** What everything is given to come to its end in, once it is quiet, ms. */
const QUIET_MS = 600_000;

const FOREVER = Number.MAX_SAFE_INTEGER;

export async function runLoops(seed: number, options: LoopRunOptions = {}): Promise<LoopRunResult> {
  const world = new LoopWorld(seed, options);
  const uncaught = (error: unknown): void => world.watch.fail("uncaught error", String(error));
  process.on("unhandledRejection", uncaught);
  try {
    await world.play();
  } finally {
    await world.end();
    process.off("unhandledRejection", uncaught);
  }
  return world.result();
}

class LoopWorld {
  readonly watch = new Watch();
  readonly #seed: number;
  readonly #plan: LoopPlan;
  readonly #rng: Rng;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  readonly #table: Table;
  readonly #mutant: ((inner: Storage) => Storage) | undefined;
  readonly #control: FaultSwitch = { on: true, injected: {} };
  readonly #lives: (Life | null)[];
  readonly #fates = new Map<number, Fate>();
  /** Rows that nobody was told of yet. */
  readonly #untold = new Set<number>();
  #gone: Life[] = [];
  #born = 0;
  #crashes = 0;

  constructor(seed: number, { mutant, print }: LoopRunOptions) {
    this.#seed = seed;
    this.#plan = loopPlanOf(seed);
    this.#rng = new Rng(seed);
    this.#scheduler = new Scheduler(this.#rng);
    this.#trace = new Trace(print);
    this.#table = openTable(this.#plan.store);
    this.#mutant = mutant?.begin(this.#rng);
    this.#lives = Array.from({ length: this.#plan.processes }, () => null);
  }

  async play(): Promise<void> {
    const { steps, stepMs } = this.#plan;
    for (let step = 0; step < steps && this.watch.violation === null; step++) {
      this.#act();
      await this.#pass(this.#rng.exponential(stepMs));
    }
    if (this.watch.violation === null) await this.#quieten();
    if (this.watch.violation === null) this.#checkEnd();
  }

  async end(): Promise<void> {
    for (const life of this.#lives) if (life !== null) this.#bury(life);
    await this.#scheduler.rest();
    this.#clearAway();
  }

  result(): LoopRunResult {
    let done = 0;
    for (const id of this.#fates.keys()) done += this.#table.effectsOf(id);
    this.#table.close();
    return {
      seed: this.#seed,
      plan: this.#plan,
      violation: this.watch.violation,
      tail: this.#trace.tail(),
      hash: this.#trace.digest(),
      done,
      dead: this.#fates.size - done,
      crashes: this.#crashes,
      steps: this.watch.steps,
      claims: this.watch.claims,
    };
  }

  #act(): void {
    const rng = this.#rng;
    const { faults, inserts, poison, killers } = this.#plan;
    for (const [n, life] of this.#lives.entries()) {
      if (life === null) this.#start(n);
      else if (rng.chance(faults.crash)) this.#die(life, "killed");
      else if (rng.chance(faults.pause)) life.clock.suspend(rng.unit() * 3 * this.#plan.leaseMs);
    }
    if (rng.chance(faults.clockStep)) {
      this.#scheduler.stepWall(rng.between(-3, 3) * this.#plan.leaseMs);
    }
    if (rng.chance(inserts)) {
      for (let n = rng.whole(1, 6); n > 0; n--) {
        const id = this.#fates.size + 1;
        const fails = rng.chance(poison) ? rng.pick([1, 2, FOREVER]) : 0;
        this.#fates.set(id, { fails, kills: rng.chance(killers) ? rng.pick([1, FOREVER]) : 0 });
        this.#table.insert(id);
        this.#untold.add(id);
      }
    }
    const life = rng.pick(this.#lives);
    if (life === null || life.clock.dead || life.clock.paused) return;
    if (this.#untold.size > 0) void this.#ping(life);
    const { worker } = life;
    if (rng.chance(this.#plan.asks)) {
      const asked = rng.pick([
        async () => worker.stop(),
        async () => worker.start(),
        async () => worker.kick(),
      ]);
      asked().catch(() => undefined);
    }
  }

  /** Whoever is not sure that the worker was told tells it again. */
  async #ping(life: Life): Promise<void> {
    const told = [...this.#untold];
    try {
      await life.worker.ping();
      for (const id of told) this.#untold.delete(id);
      this.#note(life.name, `told of ${told.join(" ")}`);
    } catch {
      // Somebody tries again.
    }
  }

  #start(n: number): void {
    const name = `p${n + 1}.${++this.#born}`;
    const clock = this.#scheduler.clock();
    const { storage, slam } = this.#table.open();
    const { plan, watch } = { plan: this.#plan, watch: this.watch };
    const limits = { slowestMs: plan.leaseMs / 4, isDown: () => false };
    const spoiled = this.#mutant?.(storage) ?? storage;
    const faulty = faultyStorage(watch.over(spoiled, clock), {
      clock: clock.beside(),
      schedule: faultSchedule(plan.faults, this.#rng, this.#control, limits),
    });
    const engine = new Batchwork({
      storage: faulty,
      clock,
      logger: this.#logger(name),
      leaseMs: plan.leaseMs,
      heartbeatMs: plan.heartbeatMs,
      tickIntervalMs: plan.tickIntervalMs,
      pollMs: 20,
    });
    const worker = this.#define(engine, (): Life => life);
    const life: Life = { name, clock, engine, worker, slam };
    this.#lives[n] = life;
    this.#note(name, "begins");
    engine.start().catch(() => {
      if (!clock.dead) this.#die(life, "could not start");
    });
  }

  #define(engine: Batchwork, life: () => Life): Worker<readonly number[]> {
    const { debounceMs, idle, retries } = this.#plan;
    return engine.worker<readonly number[]>({
      name: "rows",
      debounceMs,
      retries,
      query: (tx) => {
        const batch = this.#table.take(tx, 5);
        return batch.length === 0 ? { kind: "idle", ...idle } : { kind: "work", batch };
      },
      process: (tx, batch) => this.#process(life(), tx, batch),
      setAside: (tx, ids) => this.#table.setAside(tx, ids),
    });
  }

  #process(life: Life, tx: Parameters<Table["finish"]>[0], batch: readonly number[]): void {
    this.#note(life.name, `processes ${batch.join(" ")}`);
    for (const id of batch) {
      const fate = this.#fates.get(id) as Fate;
      if (fate.kills > 0) {
        fate.kills--;
        this.#die(life, `over ${id}`);
        throw new Error("Nobody hears of it.");
      }
    }
    // An item that fails does so by itself: together, the batch says nothing of it.
    const bad = batch.find((id) => (this.#fates.get(id)?.fails ?? 0) > 0);
    if (bad !== undefined) {
      if (batch.length === 1) (this.#fates.get(bad) as Fate).fails--;
      throw new Error(`not ${bad}`);
    }
    this.#table.finish(tx, batch);
  }

  /** No more faults: everything that was pinged has to come to its end. */
  async #quieten(): Promise<void> {
    this.#control.on = false;
    for (const fate of this.#fates.values()) if (fate.kills < FOREVER) fate.kills = 0;
    const until = this.#scheduler.now + QUIET_MS;
    let started = false;
    while (this.#scheduler.now < until && this.watch.violation === null) {
      for (const [n, life] of this.#lives.entries()) if (life === null) this.#start(n);
      await this.#pass(1000);
      const life = this.#lives.find((one) => one !== null && !one.clock.paused);
      if (life === undefined || life === null) continue;
      if (!started) started = await this.#startWorker(life);
      if (this.#untold.size > 0) void this.#ping(life);
      if (this.#table.waiting().length === 0 && this.#untold.size === 0) return;
    }
  }

  /** True when a user has started it again; the answer may come while time passes. */
  async #startWorker({ worker }: Life): Promise<boolean> {
    let started: boolean | undefined;
    const starting = async (): Promise<void> => {
      try {
        await worker.start();
        started = true;
      } catch {
        started = false;
      }
    };
    void starting();
    // A process that dies meanwhile answers nothing.
    for (let waits = 0; started === undefined && waits < 100; waits++) await this.#pass(100);
    return started ?? false;
  }

  #checkEnd(): void {
    const waiting = this.#table.waiting();
    if (waiting.length > 0) this.watch.fail("no wake-up is lost", `rows ${waiting.join(" ")} wait`);
    for (const id of this.#fates.keys()) {
      const effects = this.#table.effectsOf(id);
      if (effects > 1) this.watch.fail("effects exactly once", `row ${id} has ${effects}`);
      const { fails, kills } = this.#fates.get(id) as Fate;
      if (effects === 0 && fails + kills < FOREVER / 2) {
        this.#note("end", `row ${id} was set aside`);
      }
    }
  }

  async #pass(ms: number): Promise<void> {
    await this.#scheduler.rest();
    await this.#scheduler.pass(ms, () => undefined);
    this.#clearAway();
  }

  #die(life: Life, why: string): void {
    this.#crashes++;
    this.#note(life.name, `dies: ${why}`);
    this.#bury(life);
  }

  #bury(life: Life): void {
    life.clock.kill();
    this.#gone.push(life);
    const n = this.#lives.indexOf(life);
    if (n >= 0) this.#lives[n] = null;
  }

  /** Their connections may still be in use while the event goes on that they died in. */
  #clearAway(): void {
    for (const life of this.#gone) life.slam();
    this.#gone = [];
  }

  #note(who: string, what: string): void {
    this.#trace.line(this.#scheduler.now, who, what);
  }

  #logger(name: string): Logger {
    const write = (message: string): void => this.#note(name, `log: ${message}`);
    return { debug: () => undefined, info: write, warn: write, error: write };
  }
}
