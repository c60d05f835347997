/** The options of an engine and of a definition, as the user writes them. */
import type { Clock } from "../core/clock.ts";
import type { BatchSettings, EngineSettings } from "../core/options.ts";
import type { SchemaOutput, StandardSchema } from "../core/schema.ts";
import type { Storage } from "../storage/storage.ts";
import type { BatchContext } from "./context.ts";
import type { DeadJob } from "./dead-letters.ts";
import type { BatchHooks } from "./hooks.ts";
import type { Logger } from "./logger.ts";

export type {
  PendingOptions,
  RetryOptions,
  TargetOptions,
  ThrottleOptions,
} from "../core/options.ts";
export type { KeepOptions, RemoveOption } from "../core/retention-option.ts";

/** Options of `new Batchwork(…)`. */
export interface BatchworkOptions extends EngineSettings {
  /** Where items live: `sqlite({ path })` from `batchwork/sqlite`, or `memory()`. Required. */
  readonly storage: Storage;
  /** Takes what the engine and `ctx.log` say. Default: warnings and errors to the console. */
  readonly logger?: Logger;
  /** Time, timers and randomness; for tests. Default: the system's. */
  readonly clock?: Clock;
}

/**
 * Options of `bw.batch(…)`. `T` is an item, `R` what the handler returns. Names and defaults are
 * OqronKit's where it has the option.
 */
export interface BatchOptions<T, R = unknown> extends BatchSettings {
  /**
   * Handles one batch. When it returns, every item succeeded that `ctx.fail` did not name; when it
   * throws, see `onFailure`. Runs at least once for each item. What it returns is not kept, but for
   * what `ctx.results` is given. Required.
   */
  readonly handler: (ctx: BatchContext<T>) => R | Promise<R>;
  /**
   * The group of an item: a string of at most 512 characters, the same every time for the same
   * item. Groups fill, wait and run apart from each other. Default: one group for all items.
   */
  readonly groupBy?: (item: T) => string;
  /**
   * The key of an item: a string of at most 512 characters. An item is left out when another one
   * with its key waits in its group: the first one stays as it is, and duplicates count for
   * nothing. Once the first one is handed over, its key is free again. Whoever adds a duplicate is
   * not told. Not together with `idempotencyKey`. Default: nothing is left out.
   */
  readonly deduplicateBy?: (item: T) => string;
  /** What happens beside storing them when items are out of attempts. Default: nothing. */
  readonly deadLetter?: DeadLetterOptions<T>;
  /** What is called when an attempt has ended. Default: nothing. */
  readonly hooks?: BatchHooks<T, R>;
}

/** Options of a definition whose items a schema checks, and perhaps changes, as they are added. */
export interface SchemaBatchOptions<S extends StandardSchema, R = unknown> extends BatchOptions<
  SchemaOutput<S>,
  R
> {
  /**
   * Any schema that speaks Standard Schema 1: zod, valibot, arktype and others. `add` takes its
   * input; its output is what is stored, grouped and handed to the handler. An item that it refuses
   * is `ITEM_INVALID` (a `SchemaError`), and then nothing of the call is stored. Items that are
   * stored already are not checked again. Default: items are taken as they are.
   */
  readonly schema: S;
}

/** Dead letters are always stored (`batch.deadLetters`); this is about being told of them. */
export interface DeadLetterOptions<T> {
  /** Whether `onDead` is called. Default false, as OqronKit's. */
  readonly enabled?: boolean;
  /**
   * Called for the items that died together in one batch, at least once, in one process that
   * defines the batch; again later when it throws. Needs `enabled: true`. Default: none.
   */
  readonly onDead?: (job: DeadJob<T>, error: Error) => unknown;
}
