/** One attempt of one task: its handler, its context, its timeout. */
import type { Timer } from "../core/clock.ts";
import { BatchworkError } from "../core/errors.ts";
import type { TaskRetry } from "../core/pool-retry.ts";
import type { StoredTask } from "../core/task.ts";
import type { LogFields, LogLevel } from "./logger.ts";
import type { ResolvedHandler } from "./pool-handlers.ts";
import type { HandlerSpan } from "./spans.ts";
import type { Surroundings } from "./surroundings.ts";
import type { TaskContext } from "./task-context.ts";
import type { TaskQueue } from "./task-queue.ts";
import type { Validation } from "./validation.ts";

/** What a run needs to know of the slice that it is a part of. */
export interface RunOwner {
  readonly pool: TaskQueue;
  readonly around: Surroundings;
  readonly attempt: number;
  readonly serialKey: string | undefined;
  /** Id of the task at this index of its chunk. */
  readonly idOf: (index: number) => string;
  /** The attempt has ended. */
  readonly ended: (run: TaskRun, end: TaskEnd) => void;
}

/** How an attempt ended. */
export type TaskEnd =
  | { readonly kind: "returned"; readonly value: unknown }
  | { readonly kind: "threw"; readonly error: unknown; readonly forGood: boolean };

/** Its own context: a task costs one object, and what no handler asks for is not made. */
export class TaskRun implements TaskContext {
  readonly index: number;
  readonly task: StoredTask;
  readonly retry: TaskRetry;
  readonly startedAt: number;
  /** Somebody canceled the task: how it ends does not count. */
  canceled = false;
  readonly #owner: RunOwner;
  readonly #handler: ResolvedHandler | undefined;
  readonly #unknown: unknown;
  #abort: AbortController | undefined;
  #timer: Timer | undefined;
  #span: HandlerSpan | undefined;
  #ended = false;

  constructor(owner: RunOwner, index: number, task: StoredTask) {
    this.#owner = owner;
    this.index = index;
    this.task = task;
    this.startedAt = owner.around.clock.monotonicMs();
    try {
      this.#handler = owner.pool.handlers.named(task.name);
    } catch (error) {
      this.#unknown = error;
    }
    this.retry = task.retry ?? this.#handler?.retry ?? owner.pool.options.retry;
  }

  get id(): string {
    return this.#owner.idOf(this.index);
  }

  get pool(): string {
    return this.#owner.pool.name;
  }

  get name(): string {
    return this.task.name;
  }

  get attempt(): number {
    return this.#owner.attempt;
  }

  get maxAttempts(): number {
    return this.retry.maxAttempts;
  }

  get serialKey(): string | undefined {
    return this.#owner.serialKey;
  }

  get context(): unknown {
    return this.task.context;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /** Made when it is asked for, so that it works without its object as well. */
  get log(): TaskContext["log"] {
    const { pool, id, name, attempt } = this;
    const { logger } = this.#owner.around;
    return (level: LogLevel, message: string, fields?: LogFields) =>
      logger[level](message, { pool, task: id, name, attempt, ...fields });
  }

  /** Calls the handler. The owner hears of the end, once, perhaps before this returns. */
  start(): void {
    const handler = this.#handler;
    const { pool, around } = this.#owner;
    this.#span = around.telemetry.traceTask(this, pool.options.tags);
    if (handler === undefined) {
      this.#end({ kind: "threw", error: this.#unknown, forGood: true });
      return;
    }
    const timeout = this.task.timeout ?? handler.timeout ?? pool.options.timeout;
    if (timeout !== undefined) this.#expireAfter(timeout);
    if (handler.validation !== undefined) {
      void this.#validated(handler, handler.validation);
      return;
    }
    this.#call(handler, this.task.args);
  }

  /** The result does not count any more; the handler is told. */
  abort(code: "CANCELED" | "LEASE_LOST" | "STOPPED", message: string): void {
    if (this.#ended) return;
    if (code === "CANCELED") this.canceled = true;
    else {
      // Nobody waits for it, so no timer may keep the process alive.
      this.#ended = true;
      this.#timer?.cancel();
    }
    const error = new BatchworkError(code, message);
    if (this.#ended) this.#span?.end({ error });
    this.#abort ??= new AbortController();
    this.#abort.abort(error);
  }

  #call({ run }: ResolvedHandler, args: unknown): void {
    let result: unknown;
    try {
      const span = this.#span;
      result = span === undefined ? run(args, this) : span.within(() => run(args, this));
    } catch (error) {
      this.#end({ kind: "threw", error, forGood: false });
      return;
    }
    if (isThenable(result)) {
      result.then(
        (value) => this.#end({ kind: "returned", value }),
        (error: unknown) => this.#end({ kind: "threw", error, forGood: false }),
      );
    } else this.#end({ kind: "returned", value: result });
  }

  /** Arguments that the schema refuses now would be refused every time. */
  async #validated(handler: ResolvedHandler, validation: Validation): Promise<void> {
    let args: unknown;
    try {
      [args] = await validation.check([this.task.args]);
    } catch (error) {
      this.#end({ kind: "threw", error, forGood: true });
      return;
    }
    if (!this.#ended) this.#call(handler, args);
  }

  /** After that the attempt has failed, whether or not the handler heeds its signal. */
  #expireAfter(timeout: number): void {
    this.#timer = this.#owner.around.clock.after(timeout, () => {
      const message = `Task ${this.id} of "${this.pool}" ran longer than ${timeout} ms.`;
      const error = new BatchworkError("HANDLER_TIMEOUT", message, { field: "timeout" });
      this.#abort ??= new AbortController();
      this.#abort.abort(error);
      this.#end({ kind: "threw", error, forGood: false });
    });
  }

  #end(end: TaskEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#span?.end(end.kind === "threw" ? end : undefined);
    this.#owner.ended(this, end);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null &&
    (typeof value === "object" || typeof value === "function") &&
    "then" in value &&
    typeof value.then === "function"
  );
}
