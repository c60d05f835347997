/** Engines with pools on one database, in a time that a test moves, on any storage. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";

import { inject, onTestFinished } from "vitest";

import { Batchwork, type BatchworkOptions, type Logger, type Pool } from "../../../src/index.ts";
import { systemClock, turn } from "../../../src/runtime/clock.ts";
import { memory } from "../../../src/storage/memory/index.ts";
import { PostgresStorage } from "../../../src/storage/postgres/storage.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { faultyStorage, type FaultSchedule } from "../../../src/testing/faulty-storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { emptyTables, testDatabase } from "../../postgres/database.ts";
import { ProcessClock } from "../fixture.ts";

/** How a database is reached; it is new for each test. */
export interface Access {
  readonly connect: () => Storage;
  /** Does `work` in a transaction of the user's, which is committed or rolled back. */
  readonly transaction?: (
    work: (tx: unknown) => Promise<unknown>,
    end: "COMMIT" | "ROLLBACK",
  ) => Promise<void>;
}

/** Where the tests of pools run. */
export interface PoolHome {
  readonly name: string;
  readonly access: (clock: ManualClock) => Promise<Access>;
  /** False where nothing is left of what a process had. */
  readonly durable: boolean;
}

const SQLITE: PoolHome = {
  name: "sqlite",
  durable: true,
  access: async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "batchwork-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = path.join(folder, "work.db");
    return {
      connect: () => sqlite({ path: file }),
      transaction: async (work, end) => {
        const database = new DatabaseSync(file);
        database.exec("BEGIN IMMEDIATE");
        await work(database);
        database.exec(end);
        database.close();
      },
    };
  },
};

const MEMORY: PoolHome = {
  name: "memory",
  durable: false,
  access: async () => {
    const data = memory({ payload: "text" });
    return { connect: () => data.view() };
  },
};

/** On the schema that the database of the file comes with; its clock is the test's. */
function postgresHome(): PoolHome {
  const { pool } = testDatabase();
  return {
    name: "postgres",
    durable: true,
    access: async (clock) => {
      await emptyTables(pool);
      const connect = (): Storage =>
        new PostgresStorage({
          source: { pool },
          schema: "batchwork",
          durability: "relaxed",
          notifications: false,
          now: () => clock.wallMs(),
        });
      return {
        connect,
        transaction: async (work, end) => {
          const client = await pool.connect();
          await client.query("BEGIN");
          await work(client);
          await client.query(end);
          client.release();
        },
      };
    },
  };
}

/** Every storage that there is. */
export function homes(): PoolHome[] {
  const withServer = "url" in inject("postgres");
  return [SQLITE, MEMORY, ...(withServer ? [postgresHome()] : [])];
}

/** A pool whose tasks are held until a test lets them go. */
export type HeldPool = Pool<{ readonly hold: (args: unknown) => Promise<void> }>;

/** Real time after which something that was to happen is given up, ms. */
const PATIENCE_MS = 60_000;

const QUIET: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** An engine in a process of its own, as far as it can tell. */
export interface TestProcess {
  readonly bw: Batchwork;
  readonly storage: Storage;
  readonly killed: boolean;
  /** It dies without a word. */
  kill(): void;
  /** Nothing of it runs any more, until `thaw`. */
  freeze(): void;
  thaw(): void;
}

/** Calls of storages that are under way: time waits for them, however slow the machine is. */
interface Calls {
  pending: number;
}

/** The longest that time waits: some calls wait for time themselves. */
const CALL_MS_MAX = 500;

/** The same storage; its calls are counted while they are under way. */
function watched<T extends object>(inner: T, calls: Calls): T {
  return new Proxy(inner, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (key === "pools") return watched(value as object, calls);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args);
        if (!(result instanceof Promise)) return result;
        calls.pending++;
        const ended = (): void => {
          calls.pending--;
        };
        result.then(ended, ended);
        return result;
      };
    },
  });
}

export class World {
  readonly clock: ManualClock;
  readonly #access: Access;
  readonly #calls: Calls = { pending: 0 };

  private constructor(clock: ManualClock, access: Access) {
    this.clock = clock;
    this.#access = access;
  }

  static async on({ access }: PoolHome): Promise<World> {
    const clock = new ManualClock();
    return new World(clock, await access(clock));
  }

  /** Does `work` in a transaction of the user's, on the same database. */
  async transaction(
    work: (tx: unknown) => Promise<unknown>,
    end: "COMMIT" | "ROLLBACK" = "COMMIT",
  ): Promise<void> {
    await this.#access.transaction?.(work, end);
  }

  /** Time on the test's clock, ms since its start. */
  get now(): number {
    return this.clock.monotonicMs();
  }

  /** A new process. It is stopped after the test. */
  process(
    options: Partial<BatchworkOptions> = {},
    schedule: FaultSchedule = () => undefined,
  ): TestProcess {
    const clock = new ProcessClock(this.clock);
    let faults = schedule;
    const faulty = faultyStorage(this.#access.connect(), {
      clock,
      schedule: (call) => faults(call),
    });
    const storage = watched(faulty, this.#calls);
    const bw = new Batchwork({ storage, clock, logger: QUIET, ...options });
    const process = {
      bw,
      storage,
      killed: false,
      kill: () => {
        process.killed = true;
        clock.freeze();
      },
      freeze: () => clock.freeze(),
      thaw: () => clock.thaw(),
    };
    onTestFinished(async () => {
      faults = () => undefined;
      if (process.killed) return storage.close();
      clock.thaw();
      await this.run(bw.stop({ graceMs: 0 }));
    });
    return process;
  }

  /** A new process that is started once `define` has defined its pools. */
  async started<P>(
    define: (bw: Batchwork) => P,
    options?: Partial<BatchworkOptions>,
    schedule?: FaultSchedule,
  ): Promise<TestProcess & { readonly pool: P }> {
    const process = this.process(options, schedule);
    const pool = define(process.bw);
    await this.run(process.bw.start());
    return Object.assign(process, { pool });
  }

  /** Waits for a promise; as little time passes as it takes. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let pending = true;
    const done = (): void => {
      pending = false;
    };
    promise.then(done, done);
    // What needs no time is given the chance to happen first.
    for (let n = 0; pending && n < 20; n++) await this.#step(0);
    await this.until(() => !pending, 1);
    return promise;
  }

  /** Lets time pass, `step` ms after `step` ms, until `happened`. */
  async until(happened: () => boolean | Promise<boolean>, step = 10): Promise<void> {
    const giveUpAt = systemClock.monotonicMs() + PATIENCE_MS;
    while (!(await happened())) {
      if (systemClock.monotonicMs() > giveUpAt) throw new Error("It did not happen.");
      await this.#step(step);
    }
  }

  /** Lets `ms` pass, and all that is due in them happen. */
  async advance(ms: number, step = 50): Promise<void> {
    const end = this.now + ms;
    while (this.now < end) await this.#step(Math.min(step, end - this.now));
    for (let n = 0; n < 20; n++) await this.#step(0);
  }

  async #step(ms: number): Promise<void> {
    await (ms === 0 ? this.clock.settle() : this.clock.advance(ms));
    const noLaterThan = systemClock.monotonicMs() + CALL_MS_MAX;
    do await turn(systemClock);
    while (this.#calls.pending > 0 && systemClock.monotonicMs() < noLaterThan);
    await this.clock.settle();
  }
}

/** `count` numbers from 0. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** A handler that runs until it is let go, and knows how many run. */
export class Busy {
  running = 0;
  most = 0;
  readonly started: unknown[] = [];
  readonly #held: (() => void)[] = [];

  readonly handler = async (args: unknown): Promise<void> => {
    this.started.push(args);
    this.running++;
    this.most = Math.max(this.most, this.running);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.push(resolve);
    await promise;
    this.running--;
  };

  /** Lets the `count` that have run the longest end; all of them without a number. */
  release(count = this.#held.length): void {
    for (const resolve of this.#held.splice(0, count)) resolve();
  }
}
