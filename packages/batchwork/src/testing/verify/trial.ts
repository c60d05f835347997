/** One run of a handler over a sample, in simulated processes, with one accident at most. */
import type { BatchOptions } from "../../runtime/batch-options.ts";
import type { BatchContext } from "../../runtime/context.ts";
import type { Batch } from "../../runtime/accumulator.ts";
import { systemClock } from "../../runtime/clock.ts";
import { Batchwork } from "../../runtime/engine.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Storage } from "../../storage/storage.ts";
import { faultyStorage, type StorageFault } from "../faulty-storage.ts";
import { ManualClock } from "../manual-clock.ts";
import {
  Delivery,
  forever,
  Script,
  within,
  type Accident,
  type Call,
  type Plan,
} from "./script.ts";

/** What of a definition may matter to what a handler does. */
export type TrialBatchOptions<T> = Partial<
  Pick<BatchOptions<T>, "groupBy" | "maxSize" | "maxBytes" | "onFailure" | "timeout" | "tags">
>;

export interface TrialSettings<T> {
  readonly handler: (ctx: BatchContext<T>) => unknown;
  readonly sample: readonly T[];
  readonly name: string;
  readonly batch: TrialBatchOptions<T>;
  /** One more connection to the database of this trial. */
  readonly connect: () => Storage;
  /** How long the handler may really take, ms. */
  readonly handlerMs: number;
}

export interface TrialResult {
  readonly calls: readonly Call[];
  /** What the items died of that became dead letters. */
  readonly deaths: readonly string[];
  /** True when the accident happened. */
  readonly struck: boolean;
}

/** Enough for whatever fails once, or is cut in two. */
const RETRIES = { max: 3, strategy: "fixed", baseDelay: 10 } as const;
const MAX_WAIT_MS = 10;
const TIMEOUT_MS = 60_000;
/** Within so long on the simulated clock everything is over. */
const TRIAL_MS = 3_600_000;
const STEP_MS = 1000;

/** Never answered: the process is no more. */
const GONE: StorageFault = { delayBeforeMs: Number.POSITIVE_INFINITY };
/** There is no way to the database. */
const UNREACHABLE: StorageFault = { fail: "before" };

const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

interface Process<T> {
  readonly bw: Batchwork;
  readonly batch: Batch<T>;
  readonly storage: Storage;
  dead: boolean;
  fault: StorageFault | undefined;
}

export async function runTrial<T>(settings: TrialSettings<T>, plan?: Plan): Promise<TrialResult> {
  return new Trial(settings, plan).run();
}

class Trial<T> {
  readonly #settings: TrialSettings<T>;
  readonly #plan: Plan | undefined;
  readonly #clock = new ManualClock();
  readonly #script: Script;
  readonly #processes: Process<T>[] = [];
  readonly #deliveries: Delivery[] = [];
  /** A process is to take over. */
  #orphaned = false;

  constructor(settings: TrialSettings<T>, plan: Plan | undefined) {
    this.#settings = settings;
    this.#plan = plan;
    this.#script = new Script(plan, (accident) => this.#strike(accident));
  }

  async run(): Promise<TrialResult> {
    try {
      const first = this.#process();
      await this.#clock.run(first.bw.start());
      await this.#clock.run(first.batch.addBulk(this.#settings.sample));
      await this.#finish();
      await this.#letGo();
      const deaths = await this.#deaths();
      return { calls: this.#script.calls, deaths, struck: this.#script.struck };
    } finally {
      await this.#end();
    }
  }

  #process(): Process<T> {
    const { name, batch, sample, connect } = this.#settings;
    const clock = this.#clock;
    const storage = connect();
    const schedule = (): StorageFault | undefined => process.fault;
    const bw = new Batchwork({
      storage: faultyStorage(storage, { clock, schedule }),
      clock,
      logger: SILENT,
      concurrency: 1,
    });
    const definition = bw.batch<T>({
      maxSize: Math.max(1, sample.length),
      maxWaitMs: MAX_WAIT_MS,
      timeout: TIMEOUT_MS,
      ...batch,
      name,
      retries: RETRIES,
      handler: async (ctx) => this.#handle(process, ctx),
    });
    const process: Process<T> = { bw, batch: definition, storage, dead: false, fault: undefined };
    this.#processes.push(process);
    return process;
  }

  /** What happens to the process whose handler it is; another one is to take over. */
  #strike(accident: Accident): void {
    const [first] = this.#processes as [Process<T>];
    if (accident === "timeout" || accident === "fail") return;
    first.dead = accident === "kill";
    first.fault = accident === "kill" ? GONE : UNREACHABLE;
    this.#orphaned = true;
  }

  /** Not begun by the code that the accident happens to, whose context it would inherit. */
  async #replace(): Promise<void> {
    this.#orphaned = false;
    await this.#clock.run(this.#process().bw.start());
  }

  async #handle(process: Process<T>, ctx: BatchContext<T>): Promise<unknown> {
    if (process.dead) return forever();
    const delivery = new Delivery();
    this.#deliveries.push(delivery);
    const script = this.#script;
    try {
      return await within(script, delivery, async () => {
        const result = await this.#settings.handler(observed(ctx, script, delivery));
        return script.call(delivery, "the handler's last line", async () => result, true);
      });
    } catch (error) {
      // Nobody hears of what is thrown in a process that is no more.
      if (delivery.dead) return await forever();
      throw error;
    } finally {
      delivery.ended = true;
      delivery.stop();
    }
  }

  /** Lets time pass until every item is done or dead. */
  async #finish(): Promise<void> {
    const clock = this.#clock;
    for (let step = 1; ; step = Math.min(step * 2, STEP_MS)) {
      await clock.settle();
      const running = this.#deliveries.find(({ runs }) => runs);
      if (running !== undefined) {
        await this.#really(running.stopped());
        continue;
      }
      if (this.#orphaned) await this.#replace();
      if (await this.#isDone()) return;
      if (clock.monotonicMs() > TRIAL_MS) throw new Error(this.#stuck());
      await clock.advance(step);
    }
  }

  /** Whoever was held up goes on, although its delivery no longer counts. */
  async #letGo(): Promise<void> {
    const held = this.#deliveries.filter((delivery) => delivery.held);
    if (held.length === 0) return;
    for (const process of this.#processes) {
      if (!process.dead) process.fault = undefined;
    }
    for (const delivery of held) {
      delivery.release();
      await this.#clock.settle();
      if (delivery.runs) await this.#really(delivery.stopped());
    }
    await this.#finish();
  }

  get #last(): Process<T> {
    return this.#processes.at(-1) as Process<T>;
  }

  async #isDone(): Promise<boolean> {
    const status = this.#clock.run(this.#last.batch.status());
    const { waiting, retrying, leased } = await status;
    return waiting + retrying + leased === 0;
  }

  async #deaths(): Promise<string[]> {
    const letters = await this.#clock.run(this.#last.batch.deadLetters.list());
    return [...new Set(letters.map(({ error }) => `${error.name}: ${error.message}`))];
  }

  /**
   * Waits in real time, since the handler may do real work, while the engine's commits go on: calls
   * of the context need them.
   */
  async #really(stopped: Promise<void>): Promise<void> {
    const { handlerMs } = this.#settings;
    const wait = { over: false, late: false };
    const over = (): void => {
      wait.over = true;
    };
    void stopped.then(over, over);
    const timer = systemClock.after(handlerMs, () => {
      wait.late = true;
    });
    while (!wait.over && !wait.late) await this.#clock.settle();
    timer.cancel();
    if (wait.over) return;
    throw new Error(`verifyHandler: the handler had not ended after ${handlerMs} ms (handlerMs).`);
  }

  #stuck(): string {
    const last = this.#plan === undefined ? "" : ` after a ${this.#plan.accident}`;
    return `verifyHandler: after an hour of simulated time${last} there are items left to do.`;
  }

  async #end(): Promise<void> {
    for (const delivery of this.#deliveries) delivery.dead = true;
    for (const process of this.#processes) {
      if (!process.dead) {
        process.fault = undefined;
        const stopped = process.bw.stop({ graceMs: 0 });
        await this.#clock.advance(0);
        await this.#clock.run(stopped);
      }
      await process.storage.close();
    }
  }
}

/** The context, whose calls that reach the database count as calls of the handler. */
function observed<T>(ctx: BatchContext<T>, script: Script, delivery: Delivery): BatchContext<T> {
  return new Proxy(ctx, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function" || (key !== "tx" && key !== "progress")) return value;
      return (...parameters: unknown[]): unknown =>
        script.call(
          delivery,
          `ctx.${key}()`,
          (): unknown => Reflect.apply(value, target, parameters),
          true,
        );
    },
  });
}
