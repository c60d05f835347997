/** One attempt at one page: `processBatch`, its context, its timeout, and what came of it. */
import type { Timer } from "../core/clock.ts";
import { BatchworkError, hasCode } from "../core/errors.ts";
import type { PageContext } from "./iterator-context.ts";
import type { IteratorDefinition } from "./iterator-definition.ts";

/** Runs a function inside a transaction, and has the page written with it. */
export type PageCommit = <R>(
  fn: (tx: never) => R | PromiseLike<R>,
  failed: ReadonlyMap<number, unknown>,
) => Promise<R>;

/** What is to be processed. */
export interface PageWork {
  readonly jobId: string;
  readonly items: readonly unknown[];
  readonly attempt: number;
  readonly dryRun: boolean;
}

/** How an attempt ended. */
export interface PageOutcome {
  /** Items that were named, by position. */
  readonly failed: ReadonlyMap<number, unknown>;
  /** What `processBatch` threw, unless `tx` had committed before. */
  readonly thrown: { readonly error: unknown } | undefined;
  /** True when `tx` has written the page. */
  readonly committed: boolean;
}

export class PageRun {
  readonly #definition: IteratorDefinition;
  readonly #work: PageWork;
  readonly #signal: AbortSignal;
  readonly #commit: PageCommit;
  readonly #abort = new AbortController();
  readonly #failed = new Map<number, unknown>();
  #committed = false;
  #ended = false;
  /** The transaction that was begun last, while it is under way. */
  #transaction: Promise<unknown> | undefined;
  /** The timeout passed while a transaction was under way: to be called if that fails. */
  #overdue: (() => void) | undefined;

  /** `signal` aborts when the loop is no longer ours. */
  constructor(
    definition: IteratorDefinition,
    work: PageWork,
    signal: AbortSignal,
    commit: PageCommit,
  ) {
    this.#definition = definition;
    this.#work = work;
    this.#signal = signal;
    this.#commit = commit;
  }

  async execute(): Promise<PageOutcome> {
    let thrown: { readonly error: unknown } | undefined;
    const aborted = (): void => this.#abort.abort(this.#signal.reason);
    if (this.#signal.aborted) aborted();
    this.#signal.addEventListener("abort", aborted, { once: true });
    try {
      await this.#withTimeout();
    } catch (error) {
      thrown = { error };
    }
    try {
      // Nobody waited for it, but it decides what becomes of the page all the same.
      await this.#transaction;
    } catch (error) {
      thrown ??= { error };
    }
    this.#ended = true;
    this.#signal.removeEventListener("abort", aborted);
    if (thrown !== undefined && this.#committed) {
      this.#log("warn", "processBatch threw after tx had committed: nothing is retried.", thrown);
      thrown = undefined;
    }
    return { failed: this.#failed, thrown, committed: this.#committed };
  }

  /** After the timeout the attempt has failed, whether or not the function heeds its signal. */
  #withTimeout(): Promise<unknown> {
    const { given, options, around, name } = this.#definition;
    const process = async (): Promise<unknown> => given.processBatch(this.#context());
    const { timeout } = options;
    if (timeout === undefined) return process();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const expire = (): void => {
      if (this.#committed) return;
      // A transaction that is under way decides: it may have committed already.
      if (this.#transaction !== undefined) {
        this.#overdue = expire;
        return;
      }
      const message = `processBatch of "${name}" ran longer than ${timeout} ms.`;
      const error = new BatchworkError("HANDLER_TIMEOUT", message, { field: "timeout" });
      this.#ended = true;
      this.#abort.abort(error);
      reject(error);
    };
    const timer: Timer = around.clock.after(timeout, expire);
    process()
      .then(resolve, reject)
      .finally(() => timer.cancel());
    return promise;
  }

  #context(): PageContext<unknown> {
    const { jobId, items, attempt, dryRun } = this.#work;
    const { name, options } = this.#definition;
    const tx = async (fn: (tx: never) => unknown): Promise<unknown> => this.#transact(fn);
    return {
      jobId,
      name,
      items: [...items],
      attempt,
      maxAttempts: options.maxRetries,
      retried: false,
      dryRun,
      signal: this.#abort.signal,
      tx,
      fail: (index, error) => this.#fail(index, error),
      log: (level, message, fields) => this.#log(level, message, { attempt, ...fields }),
    };
  }

  #fail(index: number, error: unknown): void {
    const count = this.#work.items.length;
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      const range = `a whole number from 0 to ${count - 1}`;
      const message = `ctx.fail: index must be ${range}, not ${index}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "index", value: index });
    }
    if (this.#committed) {
      throw new BatchworkError("TX_OVER", "ctx.fail: ctx.tx has already committed this page.");
    }
    this.#failed.set(index, error);
  }

  async #transact(fn: (tx: never) => unknown): Promise<unknown> {
    if (this.#ended || this.#signal.aborted) {
      const cause: unknown = this.#abort.signal.reason;
      const message = "ctx.tx: this page no longer counts.";
      throw new BatchworkError("LEASE_LOST", message, { cause });
    }
    if (this.#committed || this.#transaction !== undefined) {
      throw new BatchworkError("TX_OVER", "ctx.tx commits once per page; it was called before.");
    }
    try {
      const transaction = this.#commit(fn, this.#failed);
      this.#transaction = transaction;
      const result = await transaction;
      // A dry run has written nothing.
      this.#committed = !this.#work.dryRun;
      return result;
    } catch (error) {
      this.#transaction = undefined;
      if (hasCode(error, "LEASE_LOST")) this.#abort.abort(error);
      this.#overdue?.();
      throw error;
    }
  }

  #log(level: "debug" | "info" | "warn" | "error", message: string, fields: object): void {
    const { around, name } = this.#definition;
    around.logger[level](message, { name, jobId: this.#work.jobId, ...fields });
  }
}
