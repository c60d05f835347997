/** Puts an iterator together: its definition, the queue for what failed, its loops. */
import type { Codec } from "../core/codec.ts";
import { BatchworkError } from "../core/errors.ts";
import { resolveIteratorOptions } from "../core/iterator-options.ts";
import { resolveBatchOptions } from "../core/options.ts";
import type { BatchContext } from "./context.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Entrance } from "./entrance.ts";
import { Emitter, type BatchEvents, type ListenerFailed } from "./events.ts";
import { Chain } from "./iterator-chain.ts";
import type { PageContext } from "./iterator-context.ts";
import { IteratorDefinition, JOB_KIND, RANGE_KIND } from "./iterator-definition.ts";
import type { IteratorOptions } from "./iterator-options.ts";
import { jobKey } from "./iterator-partitions.ts";
import { TableIterator } from "./iterator.ts";
import type { LoopRunner } from "./loop-runner.ts";
import { Queue } from "./queue.ts";
import type { Runner } from "./runner.ts";
import type { Surroundings } from "./surroundings.ts";

/** What an iterator is built in. */
export interface IteratorEnvironment {
  readonly runner: Runner;
  readonly loops: LoopRunner;
  readonly around: Surroundings;
  readonly codec: Codec;
  readonly listenerFailed: ListenerFailed;
  /** The engine's. */
  readonly concurrency: number;
}

/** Batches of items that failed hold no more: most of them fail again. */
const APART_MAX = 100;

/** The second attempt apart comes after this, ms; the first after half of it. */
const APART_BASE_MS = 2000;
const APART_LONGEST_MS = 30_000;

/** Adds its name to those `taken`. Throws `OPTION_INVALID`, `NAME_TAKEN`. */
export function buildIterator<T>(
  given: IteratorOptions<T>,
  environment: IteratorEnvironment,
  taken: Set<string>,
): TableIterator<T> {
  const { runner, loops, around } = environment;
  const options = resolveIteratorOptions(given, environment);
  const { name } = options;
  if (taken.has(name)) {
    const message = `An iterator named "${name}" is already defined in this engine.`;
    throw new BatchworkError("NAME_TAKEN", message, { field: "name", value: name });
  }
  taken.add(name);
  const { storage } = runner;
  const untyped = given as unknown as IteratorOptions<unknown>;
  const queue = queueOf(untyped, environment);
  const entrance = new Entrance<unknown>({
    queue,
    groupBy: undefined,
    deduplicateBy: undefined,
    codec: environment.codec,
    payload: storage.payload,
  });
  const definition = new IteratorDefinition({
    options,
    given: untyped,
    storage,
    around,
    queue,
    entrance,
    ready: async () => runner.ready(),
    wake: () => {
      loops.wake();
      runner.wake();
    },
  });
  runner.register(queue);
  for (const kind of [JOB_KIND, RANGE_KIND]) {
    loops.register({
      kind,
      name,
      concurrency: options.concurrency,
      run: async (row, signals) => new Chain(definition, row, signals).run(),
    });
  }
  const ready = async (): Promise<void> => runner.ready();
  const letters = new DeadLetters<T>(storage, queue, ready, () => runner.wake());
  return new TableIterator<T>(definition, letters);
}

/** The queue of items that failed on their page. No batch of a user's has such a name. */
function queueOf(given: IteratorOptions<unknown>, environment: IteratorEnvironment): Queue {
  const { runner, around, codec, listenerFailed, concurrency } = environment;
  const { name, maxRetries, timeout, ...options } = resolveIteratorOptions(given, environment);
  const settings = {
    name,
    maxSize: Math.min(options.batchSize, APART_MAX),
    maxWaitMs: 0,
    onFailure: "bisect",
    retries: {
      // The page was an attempt, and the first one here is another.
      max: Math.max(0, maxRetries - 2),
      baseDelay: APART_BASE_MS,
      maxDelay: APART_LONGEST_MS,
    },
    ...(timeout === undefined ? {} : { timeout }),
    handler: given.processBatch,
  } as const;
  const batch = resolveBatchOptions(settings, { concurrency });
  const { storage } = runner;
  return new Queue(
    {
      ...batch,
      name: `iterator/${name}`,
      grouped: true,
      groupConcurrency: 1,
      deduplicates: false,
      hooks: {},
      beforeFlush: undefined,
      onDead: given.onDead,
      handler: async (ctx: BatchContext<unknown>) => {
        const jobId = ctx.groupKey ?? "";
        const [job] = await storage.loops.get([jobKey(name, jobId)]);
        // Let go: nothing of a cancelled job is done any more.
        if (job?.status === "cancelled") return undefined;
        return given.processBatch(apart(ctx, jobId, name, maxRetries));
      },
    },
    codec,
    storage.payload,
    new Emitter<BatchEvents>(listenerFailed, around.events),
  );
}

/** A batch of items that failed, as `processBatch` sees it. */
function apart(
  ctx: BatchContext<unknown>,
  jobId: string,
  name: string,
  maxAttempts: number,
): PageContext<unknown> {
  const tx = async (fn: (tx: never) => unknown): Promise<unknown> => ctx.tx(fn as never);
  return {
    jobId,
    name,
    items: ctx.batch,
    attempt: ctx.attempt + 1,
    maxAttempts,
    retried: true,
    dryRun: false,
    signal: ctx.signal,
    tx,
    fail: (index, error) => ctx.fail(index, error),
    log: (level, message, fields) => ctx.log(level, message, { jobId, ...fields }),
  };
}
