/** The work of the campaign: what is added, and what is done with it. */
import type { Batch, BatchContext, Batchwork, BatchworkOptions, Logger } from "batchwork";

/** `uid` is `life-call-index-count`: which call of which process, and how many items it carried. */
export interface ChaosItem {
  readonly uid: string;
  readonly group: string;
  readonly fate: "fine" | "flaky" | "poison";
}

/** Short, so that a campaign need not wait long for the leases of the dead, ms. */
export const LEASE_MS = 1000;

/**
 * Processes die all the time here, and no batch is to blame. A batch that is dead because of it would
 * hide whether it was delivered.
 */
const MAX_CRASHES = 100;

/** Engine options that all processes of a campaign share. */
export const ENGINE = {
  leaseMs: LEASE_MS,
  heartbeatMs: LEASE_MS / 4,
  tickIntervalMs: 100,
  pollMs: 10,
  maxCrashes: MAX_CRASHES,
} as const satisfies Partial<BatchworkOptions>;

/** Being taken for dead is what happens here; nobody needs to read about it. */
export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Table of the handlers' effects, in the same database as the engine's. */
export const EFFECTS_TABLE = "effects";

/** What a process does at two points of each delivery. */
export interface Steps {
  /** At its start. */
  readonly begin: (context: BatchContext<ChaosItem>) => Promise<void> | void;
  /** Writes the effects of these items, adds what `follow` gives, and acknowledges the batch. */
  readonly commit: (
    context: Pick<BatchContext<ChaosItem>, "id" | "tx">,
    uids: readonly string[],
    follow: Follow | undefined,
  ) => Promise<void>;
  /** Retries of an item. Where it is the storage that fails, more of them. Default 2. */
  readonly retries?: number;
}

/** One item that is added where a batch of the campaign is acknowledged, by the same commit. */
export interface Follow {
  readonly batch: Batch<ChaosItem>;
  readonly item: ChaosItem;
}

/** The queues of a campaign. */
export interface Queues {
  readonly chaos: Batch<ChaosItem>;
  /** Gets one item for each batch of `chaos` that has effects. */
  readonly follow: Batch<ChaosItem>;
  /** Gets an item when somebody wants to know whether things work again. */
  readonly probe: Batch<ChaosItem>;
}

/** The effect of the item that follows a batch. */
export function followUid(batchId: string): string {
  return `follow-${batchId}`;
}

const RETRIES = 2;
/** What nothing is wrong with must not die of what is done to the storage. */
const RETRIES_MANY = 100;
const RETRY_MS = 20;
const RETRY_MS_MAX = 100;

/** Defines the queues of the campaign. */
export function define(engine: Batchwork, { begin, commit, retries = RETRIES }: Steps): Queues {
  const plain = (name: string): Batch<ChaosItem> =>
    engine.batch<ChaosItem>({
      name,
      maxSize: 20,
      maxWaitMs: 10,
      retries: { max: RETRIES_MANY, baseDelay: RETRY_MS, maxDelay: RETRY_MS_MAX },
      handler: async (context) =>
        commit(
          context,
          context.batch.map(({ uid }) => uid),
          undefined,
        ),
    });
  const follow = plain("follow");
  const probe = plain("probe");
  const chaos = engine.batch<ChaosItem>({
    name: "chaos",
    maxSize: 20,
    maxWaitMs: 20,
    groupBy: ({ group }) => group,
    groupConcurrency: 2,
    concurrency: 4,
    retries: { max: retries, baseDelay: RETRY_MS, maxDelay: RETRY_MS_MAX },
    handler: async (context) => {
      await begin(context);
      const done: string[] = [];
      for (const [index, { uid, fate }] of context.batch.entries()) {
        const fails = fate === "poison" || (fate === "flaky" && context.attempt === 1);
        if (fails) context.fail(index, new Error(`${uid} is ${fate}`));
        else done.push(uid);
      }
      if (done.length === 0) return;
      const item: ChaosItem = { uid: followUid(context.id), group: "", fate: "fine" };
      await commit(context, done, { batch: follow, item });
    },
  });
  return { chaos, follow, probe };
}
