/** The work of the campaign: what is added, and what is done with it. */
import type { Batch, BatchContext, Batchwork, Logger } from "batchwork";

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
} as const;

/** Being taken for dead is what happens here; nobody needs to read about it. */
export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Table of the handlers' effects, in the same file as the engine's. */
export const EFFECTS_TABLE = "effects";

export const INSERT_EFFECT = `INSERT INTO ${EFFECTS_TABLE} (uid, batch) VALUES (?, ?)`;

/** What a process does at two points of each delivery. */
export interface Steps {
  /** At its start. */
  readonly begin: (context: BatchContext<ChaosItem>) => Promise<void> | void;
  /** Writes the effects of these items and acknowledges the batch. */
  readonly commit: (context: BatchContext<ChaosItem>, uids: readonly string[]) => Promise<void>;
}

/** As it should be done: the effects commit with the acknowledgement. */
export async function commitTogether(
  context: BatchContext<ChaosItem>,
  uids: readonly string[],
): Promise<void> {
  await context.tx((tx) => {
    const insert = tx.prepare(INSERT_EFFECT);
    for (const uid of uids) insert.run(uid, context.id);
  });
}

/** Defines the queue of the campaign. */
export function define(engine: Batchwork, { begin, commit }: Steps): Batch<ChaosItem> {
  return engine.batch<ChaosItem>({
    name: "chaos",
    maxSize: 20,
    maxWaitMs: 20,
    groupBy: ({ group }) => group,
    groupConcurrency: 2,
    concurrency: 4,
    retries: { max: 2, baseDelay: 20 },
    handler: async (context) => {
      await begin(context);
      const done: string[] = [];
      for (const [index, { uid, fate }] of context.batch.entries()) {
        const fails = fate === "poison" || (fate === "flaky" && context.attempt === 1);
        if (fails) context.fail(index, new Error(`${uid} is ${fate}`));
        else done.push(uid);
      }
      if (done.length > 0) await commit(context, done);
    },
  });
}
