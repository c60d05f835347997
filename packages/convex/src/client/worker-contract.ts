/** What a work query and a worker mutation take and return, as validators and as types. */
import {
  v,
  type CommitTsPlaceholder,
  type PropertyValidators,
  type VCommitTs,
  type Validator,
  type VObject,
  type ObjectType,
} from "convex/values";

/** The cursor of a worker that declares none: when a row was committed. */
export const vDefaultCursor = v.commitTs();

export type DefaultCursor = bigint | CommitTsPlaceholder;

/** What a work query is called with. */
// Arguments of a function need an index signature, which an interface does not have.
// oxlint-disable-next-line typescript/consistent-type-definitions
export type BatchQueryArgs<Cursor = DefaultCursor> = {
  /** The name that was pinged: one query can serve many workers. */
  name: string;
  /** What was committed with the latest batch; absent before the first. */
  cursor?: Cursor;
  /** With `isolate`, after a failure: return no more than this. */
  limit?: number;
};

/** What a work query returns. */
export type BatchResult<Batch, Cursor = DefaultCursor> =
  | {
      kind?: "work";
      /** The arguments of the worker mutation. */
      batch: Batch;
      /** How far this batch gets, for the next query. Default: the cursor stays. */
      cursor?: Cursor;
    }
  | {
      kind: "idle";
      /** Ask again for this long before sleeping, ms. Default 0. */
      cooldownMs?: number;
      /** Delay between those questions, ms. Default 200. */
      pollIntervalMs?: number;
      /** Ask again after this at the latest, ms, at least 200. Default: not before a ping. */
      timeoutMs?: number;
    };

/** What a worker mutation returns, or nothing. */
export type WorkerResult<Cursor = DefaultCursor> = null | {
  /** No turn before this has passed, ms; pings are ignored meanwhile, `lib.kick` is not. */
  debounceMs?: number;
  /** Instead of the cursor that the work query returned. */
  cursor?: Cursor;
};

/** Options of a worker, each ms. */
export interface WorkerConfig {
  /** Delay of the first turn after a wake-up. Default 0. */
  debounceMs: number;
  /** How often a busy loop is looked after. At least and by default 10,000. */
  monitorLagMs: number;
  /** First and longest delay after a failure, ms. Default 1,000 and 60,000. */
  backoff: { baseDelay: number; maxDelay: number };
  /**
   * How often one batch is tried before it is given up: kept as a dead letter, and passed by its
   * cursor, or taken out of the queue by `onDead`. Default: for ever.
   */
  maxAttempts: number;
  /**
   * After a failure, ask the work query for 1, then for 2, 4 … by its argument `limit`, so that
   * what fails is soon alone. Default false.
   */
  isolate: boolean;
}

/** What `onDead` is called with. */
// Arguments of a function need an index signature, which an interface does not have.
// oxlint-disable-next-line typescript/consistent-type-definitions
export type DeadBatch<Batch = unknown> = {
  name: string;
  batch: Batch;
  error: string;
  attempts: number;
};

export type WorkerStatus = { kind: "idle" } | { kind: "running" } | { kind: "stopped" };

/* oxlint-disable typescript/explicit-function-return-type */
/* oxlint-disable typescript/explicit-module-boundary-types */

// The types of validators are what says which values they accept; they are not spelled out here.
// oxlint-disable-next-line typescript/no-explicit-any
type AnyRequired = Validator<any, "required", any>;

type Declared = AnyRequired | PropertyValidators;

/** A declaration of fields is an object's. */
type AsValidator<D extends Declared> = D extends AnyRequired
  ? D
  : D extends PropertyValidators
    ? VObject<ObjectType<D>, D>
    : never;

function validatorOf<D extends Declared>(declared: D): AsValidator<D> {
  const isValidator = (declared as { isConvexValidator?: boolean }).isConvexValidator === true;
  const validator = isValidator ? declared : v.object(declared as PropertyValidators);
  return validator as AsValidator<D>;
}

const vIdle = v.object({
  kind: v.literal("idle"),
  cooldownMs: v.optional(v.number()),
  pollIntervalMs: v.optional(v.number()),
  timeoutMs: v.optional(v.number()),
});

/**
 * The validators of a work query and its worker mutation, from one declaration, so that what one
 * returns is what the other takes.
 *
 * - `batch`: fields, or a validator, of the batch.
 * - `cursor`: validator of the cursor. Default: a commit timestamp.
 */
export function defineBatchWorkerValidators<
  B extends Declared,
  C extends AnyRequired = VCommitTs,
>(declared: { batch: B; cursor?: C }) {
  const batch = validatorOf(declared.batch);
  const cursor = v.optional((declared.cursor ?? vDefaultCursor) as C);
  return {
    vQueryArgs: v.object({ name: v.string(), cursor, limit: v.optional(v.number()) }),
    vQueryReturns: v.union(v.object({ kind: v.optional(v.literal("work")), batch, cursor }), vIdle),
    vMutationArgs: batch,
    vMutationReturns: v.union(v.null(), v.object({ debounceMs: v.optional(v.number()), cursor })),
  };
}

/** The arguments of a work query, with the default cursor. */
export const vBatchQueryArgs = v.object({
  name: v.string(),
  cursor: v.optional(vDefaultCursor),
  limit: v.optional(v.number()),
});

/** What a work query with the default cursor returns. */
export function vBatchResult<B extends Declared>(batch: B) {
  return v.union(
    v.object({
      kind: v.optional(v.literal("work")),
      batch: validatorOf(batch),
      cursor: v.optional(vDefaultCursor),
    }),
    vIdle,
  );
}

/** What a worker mutation with the default cursor returns. */
export const vWorkerResult = v.union(
  v.null(),
  v.object({ debounceMs: v.optional(v.number()), cursor: v.optional(vDefaultCursor) }),
);
