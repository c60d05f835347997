/** Engines on real storages and a clock that stands still; everything is put away after the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";

import Database from "better-sqlite3";
import { onTestFinished } from "vitest";

import type { Clock, Timer } from "../../src/core/clock.ts";
import { BatchworkError } from "../../src/core/errors.ts";
import type { BatchworkOptions } from "../../src/runtime/batch-options.ts";
import type { BatchContext } from "../../src/runtime/context.ts";
import { Batchwork } from "../../src/runtime/engine.ts";
import type { Facade } from "../../src/runtime/facade.ts";
import type { LogFields, Logger, LogLevel } from "../../src/runtime/logger.ts";
import { memory, type MemoryTx } from "../../src/storage/memory/index.ts";
import { sqlite } from "../../src/storage/sqlite/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  faultyStorage,
  type FaultSchedule,
  type StorageMethod,
} from "../../src/testing/faulty-storage.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

/** What every behaviour is tested on. */
export const STORAGES = ["sqlite", "memory"] as const;

/** What lends a handle to SQLite storage. */
export const DRIVERS = ["sqlite", "better-sqlite3"] as const;
export type StorageKind = (typeof STORAGES)[number] | (typeof DRIVERS)[number];

/** A SQLite handle of the user's, of either driver. */
export interface UserHandle {
  readonly isTransaction?: boolean;
  readonly inTransaction?: boolean;
  exec(sql: string): unknown;
  prepare(sql: string): {
    run(...parameters: (string | number)[]): unknown;
    get(...parameters: (string | number)[]): unknown;
    all(...parameters: (string | number)[]): unknown[];
  };
  close(): unknown;
}

/** The clock as one process sees it: a stopped process misses its timers, but time passes. */
export class ProcessClock implements Clock {
  /** Replaced by tests that need to know what is drawn. */
  random: () => number;
  readonly #clock: ManualClock;
  #frozen = false;
  #held: (() => void)[] = [];

  constructor(clock: ManualClock) {
    this.#clock = clock;
    this.random = clock.random;
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(ms: number, fn: () => void): Timer {
    let cancelled = false;
    const timer = this.#clock.after(ms, () => this.#call(() => (cancelled ? undefined : fn())));
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  soon(fn: () => void): void {
    this.#clock.soon(() => this.#call(fn));
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    const held = this.#held;
    this.#held = [];
    for (const fn of held) fn();
  }

  #call(fn: () => void): void {
    if (this.#frozen) this.#held.push(fn);
    else fn();
  }
}

/** One line that an engine logged. */
export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** One call of a storage method, and when it was made. */
export interface CallRecord {
  readonly method: StorageMethod;
  readonly at: number;
}

/** An engine in a process of its own, as far as it can tell. */
export class Process {
  readonly bw: Batchwork;
  readonly clock: ProcessClock;
  readonly logs: LogRecord[] = [];
  readonly storage: Storage;
  /** What goes wrong in the storage; set by tests. */
  faults: FaultSchedule = () => undefined;
  readonly calls: CallRecord[] = [];
  #killed = false;

  constructor(clock: ManualClock, storage: Storage, options: Partial<BatchworkOptions>) {
    this.clock = new ProcessClock(clock);
    this.storage = faultyStorage(storage, {
      clock: this.clock,
      schedule: (call) => {
        this.calls.push({ method: call.method, at: clock.monotonicMs() });
        return this.faults(call);
      },
    });
    const log =
      (level: LogLevel) =>
      (message: string, fields: LogFields = {}): void => {
        this.logs.push({ level, message, fields });
      };
    const logger: Logger = {
      debug: log("debug"),
      info: log("info"),
      warn: log("warn"),
      error: log("error"),
    };
    this.bw = new Batchwork({ storage: this.storage, clock: this.clock, logger, ...options });
  }

  /** How often a method of the storage was called. */
  count(method: StorageMethod): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  /** Messages of this level. */
  logged(level: LogLevel): string[] {
    return this.logs.filter((record) => record.level === level).map(({ message }) => message);
  }

  /** Nothing of this process runs any more, until `thaw`. */
  freeze(): void {
    this.clock.freeze();
  }

  /** It goes on: what it missed happens now. */
  thaw(): void {
    this.clock.thaw();
  }

  /** Dies without a word. */
  kill(): void {
    this.#killed = true;
    this.clock.freeze();
  }

  get killed(): boolean {
    return this.#killed;
  }
}

/** One database, and any number of processes on it, in one time. */
export class Fixture {
  readonly kind: StorageKind;
  readonly clock = new ManualClock();
  /** The database file; empty for memory. */
  readonly file: string;
  /** Opens one more connection to the database. */
  readonly connect: () => Storage;

  constructor(kind: StorageKind) {
    this.kind = kind;
    if (kind === "memory") {
      const data = memory({ payload: "text" });
      this.file = "";
      this.connect = () => data.view();
      return;
    }
    const folder = mkdtempSync(path.join(tmpdir(), "batchwork-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const file = path.join(folder, "work.db");
    this.file = file;
    this.connect =
      kind === "sqlite" ? () => sqlite({ path: file }) : () => sqlite({ database: this.handle() });
  }

  /** A handle of the user's, on the database file or another one; closed after the test. */
  handle(file = this.file): UserHandle {
    const database: UserHandle =
      this.kind === "better-sqlite3" ? new Database(file) : new DatabaseSync(file);
    onTestFinished(() => void database.close());
    return database;
  }

  /** A new process on the database, or on `options.storage`. It is stopped after the test. */
  process(options: Partial<BatchworkOptions> = {}): Process {
    const { storage = this.connect(), ...others } = options;
    const process = new Process(this.clock, storage, others);
    onTestFinished(() => this.#putAway(process));
    return process;
  }

  /** A new process that is started once `define` has defined its batches. */
  async started<T>(
    define: (bw: Batchwork) => T,
    options: Partial<BatchworkOptions> = {},
  ): Promise<{ readonly process: Process; readonly bw: Batchwork; readonly batch: T }> {
    const process = this.process(options);
    const batch = define(process.bw);
    await this.run(process.bw.start());
    return { process, bw: process.bw, batch };
  }

  /** Waits for a promise while time stands still. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise);
  }

  /** Lets time pass. */
  advance(ms: number): Promise<void> {
    return this.clock.advance(ms);
  }

  /** Lets `ms` pass in a promise's favour, then waits for it. */
  async runFor<T>(ms: number, promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    await this.advance(ms);
    return this.run(promise);
  }

  /** True while nothing but the passing of time can settle the promise. */
  async isPending(promise: Promise<unknown>): Promise<boolean> {
    let pending = true;
    const done = (): void => {
      pending = false;
    };
    promise.then(done, done);
    await this.clock.settle();
    return pending;
  }

  async #putAway(process: Process): Promise<void> {
    process.faults = () => undefined;
    if (process.killed) {
      await process.storage.close();
      return;
    }
    process.thaw();
    const stopping = process.bw.stop({ graceMs: 0 });
    await this.advance(0);
    // Calls of a slow storage may still be under way.
    if (await this.isPending(stopping)) await this.advance(1000);
    await this.run(stopping);
  }
}

/** One call of a handler. */
export interface Delivery<T> {
  readonly id: string;
  readonly items: readonly T[];
  readonly itemIds: readonly string[];
  readonly groupKey: string | undefined;
  readonly attempt: number;
  /** Time on the fixture's clock, ms since its start. */
  readonly at: number;
}

/** A handler that notes what it is given, then does what `work` says. */
export function recorder<T = unknown>(
  clock: Clock,
  work: (context: BatchContext<T>) => unknown = () => undefined,
): {
  readonly deliveries: Delivery<T>[];
  readonly handler: (context: BatchContext<T>) => Promise<unknown>;
} {
  const deliveries: Delivery<T>[] = [];
  return {
    deliveries,
    handler: async (context) => {
      const { id, itemIds, groupKey, attempt } = context;
      const items = [...context.batch];
      deliveries.push({ id, items, itemIds, groupKey, attempt, at: clock.monotonicMs() });
      return work(context);
    },
  };
}

/** All items that were delivered, in order. */
export function itemsOf<T>(deliveries: readonly Delivery<T>[]): T[] {
  return deliveries.flatMap(({ items }) => items);
}

/** `count` numbers from 0. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** What became of a promise: `"fulfilled"`, or the code of the error. */
export async function outcomeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return "fulfilled";
  } catch (error) {
    return error instanceof BatchworkError ? error.code : error;
  }
}

/** A promise that is never settled. */
export function forever(): Promise<never> {
  return Promise.withResolvers<never>().promise;
}

/** For sorting where the order does not matter. */
export function ascending<T extends number | string | undefined>(a: T, b: T): number {
  if (a === b) return 0;
  return (a ?? "") < (b ?? "") ? -1 : 1;
}

/** Handlers wait here until the test releases them. */
export class Hold {
  readonly #waiting: (() => void)[] = [];
  #released = false;

  /** Handlers that wait now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Waits until the test says go. */
  wait(): Promise<void> {
    if (this.#released) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Lets the one go that has waited the longest. */
  release(): void {
    this.#waiting.shift()?.();
  }

  /** Lets all go, now and from now on. */
  releaseAll(): void {
    this.#released = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** What handlers wrote, as the database keeps it. */
export interface Effects {
  write(tx: Facade, value: number): void;
  read(): number[];
}

/** Somewhere in the database for handlers to write to. */
export function effectsIn(f: Fixture): Effects {
  if (f.kind === "memory") {
    const kept: number[] = [];
    return {
      write: (tx, value) => (tx as unknown as MemoryTx).onCommit(() => void kept.push(value)),
      read: () => [...kept],
    };
  }
  const database = f.handle();
  database.exec("CREATE TABLE effects (value INTEGER NOT NULL)");
  return {
    write: (tx, value) => {
      tx.prepare("INSERT INTO effects VALUES (?)").run(value);
    },
    read: () =>
      database
        .prepare("SELECT value FROM effects ORDER BY rowid")
        .all()
        .map((row) => (row as { readonly value: number }).value),
  };
}
