/** What the handler of a task is given besides its arguments. */
import type { LogFields, LogLevel } from "./logger.ts";

/** The second argument of a handler of a pool. */
export interface TaskContext {
  /** Id of the task, as `enqueue` returned it: the same in every attempt. */
  readonly id: string;
  /** Name of the pool. */
  readonly pool: string;
  /** Name of the handler. */
  readonly name: string;
  /** Which attempt this is; the first is 1. A crash of the process is not an attempt. */
  readonly attempt: number;
  /** How many there will be at most. */
  readonly maxAttempts: number;
  /** The `serialKey` of the task; `undefined` without one. */
  readonly serialKey: string | undefined;
  /** The `context` that `enqueue` was given. */
  readonly context: unknown;
  /**
   * Aborts when the result no longer counts: the task was canceled (`CANCELED`), its `timeout`
   * passed (`HANDLER_TIMEOUT`), another process took over (`LEASE_LOST`), or `stop()` ran out of
   * grace (`STOPPED`).
   */
  readonly signal: AbortSignal;

  /** Writes to the engine's logger, with the pool, the task and its attempt added to the fields. */
  log(level: LogLevel, message: string, fields?: LogFields): void;
}
