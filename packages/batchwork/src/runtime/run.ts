/** One delivery of one batch: the handler, its context, its timeout, and what came of it. */
import { AsyncLocalStorage } from "node:async_hooks";

import type { Timer } from "../core/clock.ts";
import { BatchworkError, hasCode } from "../core/errors.ts";
import type { Lease } from "../core/lease.ts";
import { itemIds, type Member } from "../core/members.ts";
import { maxAttempts } from "../core/retry.ts";
import { settle, type Outcome } from "../core/settle.ts";
import type { ItemResult } from "../core/results.ts";
import type { PreparedPart } from "../storage/preparation.ts";
import type { ClaimedBatch, Settlement, Storage } from "../storage/storage.ts";
import { isPassing, sizeOf, type BeforeFlush } from "./before-flush.ts";
import type { BatchContext } from "./context.ts";
import type { ItemResults } from "./item-results.ts";
import type { LogFields, LogLevel } from "./logger.ts";
import {
  handled,
  leaseLost,
  progressed,
  started,
  trouble,
  type HandlerEnd,
} from "./observation.ts";
import type { Queue } from "./queue.ts";
import { RunResults } from "./run-results.ts";
import type { Surroundings } from "./surroundings.ts";

/** Which handler the current code runs in, so that it cannot wait for itself. */
export const currentRun = new AsyncLocalStorage<Run>();

/** Waits between attempts to store what `beforeFlush` returned, ms: doubled up to the longest. */
const KEEP_RETRY_MS = 25;
const KEEP_RETRY_MS_MAX = 4500;

/** How a delivery ended. */
export type RunEnd =
  /** The settlement is to ride on the next exchange. */
  | { readonly kind: "settle"; readonly settlement: Settlement }
  /** `ctx.tx` has settled the batch. */
  | { readonly kind: "settled"; readonly outcome: Outcome }
  /**
   * Somebody else owns the batch, or it was given back: whatever the handler did no longer counts.
   */
  | { readonly kind: "void" };

/** One delivery. */
export class Run {
  readonly queue: Queue;
  /** Replaced once, when `beforeFlush` has had its say. */
  claimed: ClaimedBatch;
  readonly lease: Lease;
  /** How the handler ended; `undefined` before, and when it no longer counted. */
  end: HandlerEnd | undefined;
  readonly #storage: Storage;
  readonly #around: Surroundings;
  readonly #abort = new AbortController();
  readonly #failed = new Map<number, unknown>();
  readonly #results: RunResults;
  /** What `ctx.tx` settled the batch with. */
  #committed: Outcome | undefined;
  /** True while `ctx.tx` may be committing: only its own answer says whether the lease is gone. */
  #inTransaction = false;
  /** True while `beforeFlush` is at work: what fails then is no part of the batch. */
  #preparing = false;
  #void = false;
  #ended = false;
  #timeout: Timer | undefined;
  /** The transaction that was begun last. */
  #transaction: Promise<unknown> | undefined;
  /** The timeout passed while a transaction was under way: to be called if that fails. */
  #overdue: (() => void) | undefined;

  constructor(storage: Storage, around: Surroundings, queue: Queue, claimed: ClaimedBatch) {
    this.#storage = storage;
    this.#around = around;
    this.queue = queue;
    this.#results = new RunResults(queue);
    this.claimed = claimed;
    this.lease = { batch: claimed.batch, token: claimed.token };
  }

  /** True once nothing the handler does counts any more; its code may run on. */
  get over(): boolean {
    return this.#ended || this.#void;
  }

  /** The batch now belongs to somebody else, or was given back. The handler is told. */
  lose(code: "LEASE_LOST" | "STOPPED", message: string): void {
    // Nobody waits for the handler of a stopped engine, so no timer may keep the process alive.
    if (code === "STOPPED") this.#timeout?.cancel();
    if (this.#void || this.#ended || this.#committed !== undefined) return;
    if (this.#inTransaction) return;
    this.#void = true;
    this.#abort.abort(new BatchworkError(code, message));
    if (code === "LEASE_LOST") leaseLost(this.queue, this.claimed);
  }

  /** Runs the handler to its end, its timeout, or whatever else ends the delivery. */
  async execute(): Promise<RunEnd> {
    // Lost before its turn came.
    if (this.#void) return { kind: "void" };
    const { queue } = this;
    const { clock, telemetry } = this.#around;
    const startedAt = clock.monotonicMs();
    let thrown: { readonly error: unknown } | undefined;
    let items: readonly unknown[] = [];
    let result: unknown;
    try {
      let batch = queue.decode(this.claimed.payloads, this.#results.expect);
      if (queue.hooked) items = [...batch];
      if (queue.beforeFlush !== undefined && !this.claimed.prepared) {
        const flushed = await this.#prepare(queue.beforeFlush, batch);
        if (flushed === null) return { kind: "void" };
        if (flushed.length === 0) return this.#leftEmpty();
        batch = flushed;
        if (queue.hooked) items = [...batch];
      }
      // Nothing reads the text any more, and handlers may take their time.
      const claimed = { ...this.claimed, payloads: [] };
      this.claimed = claimed;
      started(queue, claimed);
      const context = this.#context(batch);
      const handle = (): Promise<unknown> =>
        currentRun.run(this, () =>
          this.#withTimeout("The handler", async () => queue.handler(context)),
        );
      result = await telemetry.trace(queue, claimed, handle);
    } catch (error) {
      thrown = { error };
    }
    try {
      // The handler did not wait for it, but it decides what becomes of the batch all the same.
      if (this.#inTransaction) await this.#transaction;
    } catch (error) {
      thrown ??= { error };
    }
    this.#ended = true;
    const durationMs = clock.monotonicMs() - startedAt;
    const end = { items, durationMs, result, thrown, failed: this.#failed };
    if (this.#committed !== undefined) {
      if (thrown !== undefined) this.#warnOfLateThrow(thrown.error);
      this.#handled({ ...end, thrown: undefined });
      return { kind: "settled", outcome: this.#committed };
    }
    if (this.#void) return { kind: "void" };
    this.#handled(end);
    return { kind: "settle", settlement: { ...this.lease, outcome: this.#outcome(thrown) } };
  }

  /** What it did counts, whatever becomes of the batch. */
  #handled(end: HandlerEnd): void {
    const { queue, claimed } = this;
    this.end = end;
    queue.size.measured(claimed.count, end.durationMs, end.thrown);
    handled(queue, claimed, end, this.#around.hookCalls);
  }

  /** Has the items changed by `beforeFlush`. `null` when the batch is not ours any more. */
  async #prepare(hook: BeforeFlush, before: unknown[]): Promise<unknown[] | null> {
    this.#preparing = true;
    const { claimed } = this;
    const call = (): Promise<readonly unknown[]> => hook.call(claimed, before);
    const made = await currentRun.run(this, () =>
      this.#withTimeout("hooks.beforeFlush", async () => call()),
    );
    if (this.#void) return null;
    if (made.length === 0) return [];
    const { items, parts, ttls, results } = hook.flushed(claimed, before, made, this.#results.ttls);
    const members = await this.#keep(parts, results);
    if (members === null) return null;
    this.#results.replace(ttls);
    const changed = parts === null ? claimed : { ...claimed, ...sizeOf(parts) };
    this.claimed = { ...changed, members, prepared: true };
    this.#preparing = false;
    return [...items];
  }

  /** Stores it, for as long as it takes. `null` when the lease is lost. */
  async #keep(
    parts: readonly PreparedPart[] | null,
    results: readonly ItemResult[],
  ): Promise<readonly Member[] | null> {
    for (let failures = 1; !this.#void; failures++) {
      try {
        const members = await this.#storage.prepare(this.lease, parts, results);
        if (members !== null) return this.#void ? null : members;
        this.lose("LEASE_LOST", "Another process took this batch over before its handler began.");
      } catch (error) {
        if (!isPassing(error)) throw error;
        const fields = { name: this.queue.name, batch: this.claimed.batch, error };
        const message = "Storing what hooks.beforeFlush returned failed; it is tried again.";
        trouble(this.#around, "warn", message, fields);
        await this.#pause(Math.min(KEEP_RETRY_MS * 2 ** failures, KEEP_RETRY_MS_MAX));
      }
    }
    return null;
  }

  /** Resolves after that time, or when the batch is somebody else's. */
  #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#around.clock.after(ms, resolve);
    this.#abort.signal.addEventListener("abort", () => resolve(), { once: true });
    return promise.finally(() => timer.cancel());
  }

  /** `beforeFlush` left every item out. */
  #leftEmpty(): RunEnd {
    this.#ended = true;
    const outcome = this.#results.allLeftOut(this.claimed.members);
    return { kind: "settle", settlement: { ...this.lease, outcome } };
  }

  #outcome(thrown?: { readonly error: unknown }): Outcome {
    const { count, attempt } = this.claimed;
    const verdict = { count, attempt, failed: this.#failed };
    const { retries, onFailure } = this.queue;
    const outcome = settle(
      thrown === undefined ? verdict : { ...verdict, thrown },
      { retries, onFailure: this.#preparing ? "retry" : onFailure },
      this.#around.clock.random(),
    );
    const kept = this.#results.keptWith(outcome, this.claimed.members);
    return this.queue.keeps && kept.kind === "done" ? { ...kept, keep: true } : kept;
  }

  /** After the timeout the attempt has failed, whether or not the handler heeds its signal. */
  #withTimeout<R>(what: string, work: () => Promise<R>): Promise<R> {
    const { timeout } = this.queue;
    if (timeout === undefined) return work();
    return new Promise((resolve, reject) => {
      const expire = (): void => {
        if (this.#committed !== undefined) return;
        // A transaction that is under way decides: it may have committed already.
        if (this.#inTransaction) {
          this.#overdue = expire;
          return;
        }
        const message = `${what} of "${this.queue.name}" ran longer than ${timeout} ms.`;
        const error = new BatchworkError("HANDLER_TIMEOUT", message, { field: "timeout" });
        this.#ended = true;
        this.#abort.abort(error);
        reject(error);
      };
      const timer = this.#around.clock.after(timeout, expire);
      this.#timeout = timer;
      work()
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }

  #context(items: unknown[]): BatchContext<unknown> {
    const { claimed, queue } = this;
    let ids: readonly string[] | undefined;
    return {
      id: String(claimed.batch),
      name: queue.name,
      batch: items,
      batchSize: claimed.count,
      get itemIds() {
        return (ids ??= itemIds(claimed.members));
      },
      groupKey: queue.grouped ? claimed.group : undefined,
      attempt: claimed.attempt,
      maxAttempts: maxAttempts(queue.retries),
      createdAt: new Date(claimed.sealedAt),
      signal: this.#abort.signal,
      fail: (index, error) => this.#fail(index, error),
      results: (values) => this.#give(values),
      tx: (fn) => this.#transact(fn),
      progress: (percent, note) => this.#progress(percent, note ?? ""),
      log: (level, message, fields) => this.#log(level, message, fields),
    };
  }

  #fail(index: number, error: unknown): void {
    const { count } = this.claimed;
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      const range = `a whole number from 0 to ${count - 1}`;
      const message = `ctx.fail: index must be ${range}, not ${index}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "index", value: index });
    }
    if (this.#committed !== undefined) {
      throw new BatchworkError("TX_OVER", "ctx.fail: ctx.tx has already committed this batch.");
    }
    this.#failed.set(index, error);
  }

  #give<X>(values: readonly X[]): ItemResults<X> {
    if (this.#committed !== undefined) {
      throw new BatchworkError("TX_OVER", "ctx.results: ctx.tx has already committed this batch.");
    }
    return this.#results.give(values, this.claimed.count, this.#failed);
  }

  async #transact<R>(fn: (tx: never) => R | PromiseLike<R>): Promise<R> {
    this.#refuseWhenOver("ctx.tx");
    if (this.#committed !== undefined || this.#inTransaction) {
      throw new BatchworkError(
        "TX_OVER",
        "ctx.tx commits once per delivery; it was called before.",
      );
    }
    let outcome: Outcome | undefined;
    this.#inTransaction = true;
    try {
      const transaction = this.#storage.transact<R>({
        lease: this.lease,
        run: fn,
        outcome: () => (outcome = this.#outcome()),
      });
      this.#transaction = transaction;
      const result = await transaction;
      this.#committed = outcome;
      return result;
    } catch (error) {
      this.#inTransaction = false;
      if (hasCode(error, "LEASE_LOST")) this.lose("LEASE_LOST", error.message);
      this.#overdue?.();
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  async #progress(percent: number, note: string): Promise<void> {
    if (!(percent >= 0 && percent <= 100)) {
      const message = `ctx.progress: percent must be a number from 0 to 100, not ${percent}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "percent", value: percent });
    }
    this.#refuseWhenOver("ctx.progress");
    if (await this.#storage.progress(this.lease, percent, note)) {
      progressed(this.queue, this.claimed, percent, note);
      return;
    }
    const message = "ctx.progress: another process took this batch over.";
    this.lose("LEASE_LOST", message);
    throw new BatchworkError("LEASE_LOST", message);
  }

  #refuseWhenOver(what: string): void {
    if (this.#void || this.#ended) {
      throw new BatchworkError("LEASE_LOST", `${what}: this delivery no longer counts.`, {
        cause: this.#abort.signal.reason,
      });
    }
  }

  #log(level: LogLevel, message: string, fields?: LogFields): void {
    const { batch, attempt } = this.claimed;
    this.#around.logger[level](message, { name: this.queue.name, batch, attempt, ...fields });
  }

  #warnOfLateThrow(error: unknown): void {
    this.#log("warn", "The handler threw after ctx.tx had committed: nothing is retried.", {
      error,
    });
  }
}
