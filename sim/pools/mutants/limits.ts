/** Mutants that start tasks which must not start, or not yet. */
import type { ClaimedSlice } from "../../../packages/batchwork/src/storage/pools.ts";
import { overlay } from "../../serial.ts";
import { spoil, type PoolMutant } from "./mutant.ts";

const parallelismPerProcess: PoolMutant = {
  name: "maxParallelism is counted by each process",
  foundBy: ["never more than maxParallelism"],
  begin: () => ({
    storage: (inner) => {
      const own = new Map<number, ClaimedSlice>();
      return spoil(inner, (pools) => ({
        exchange: async (request) => {
          for (const { batch } of request.settlements) own.delete(batch);
          const claims = await Promise.all(
            request.claims.map(async (claim) => {
              const { running } = await pools.counts(claim.queue);
              let here = 0;
              for (const { queue, indices } of own.values()) {
                if (queue === claim.queue) here += indices.length;
              }
              const others = Math.max(0, running - here);
              return { ...claim, maxParallelism: claim.maxParallelism + others };
            }),
          );
          const exchanged = await pools.exchange({ ...request, claims });
          for (const slice of exchanged.claimed) own.set(slice.batch, slice);
          return exchanged;
        },
      }));
    },
  }),
};

const serialKeyIgnored: PoolMutant = {
  name: "a serial key is free again before its task is settled",
  foundBy: ["never more of a key than may run"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const claims = request.claims.map((claim) => {
            return { ...claim, concurrencyPerKey: claim.concurrencyPerKey + 1 };
          });
          return pools.exchange({ ...request, claims });
        },
      })),
  }),
};

const throttleIgnored: PoolMutant = {
  name: "tasks that are tried again are not throttled",
  foundBy: ["throttle: no more in any span"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const isFirst = request.settlements.every(({ again }) => again.length === 0);
          if (isFirst) return pools.exchange(request);
          const claims = request.claims.map(({ throttle: _, ...claim }) => claim);
          return pools.exchange({ ...request, claims });
        },
      })),
  }),
};

const pauseForgotten: PoolMutant = {
  name: "pause is not stored",
  foundBy: ["a paused pool starts nothing"],
  begin: () => ({ storage: (inner) => overlay(inner, { setPaused: async () => undefined }) }),
};

const noBackoff: PoolMutant = {
  name: "tasks that failed are tried again at once",
  foundBy: ["not before its time"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const settlements = request.settlements.map((settlement) => {
            const again = settlement.again.map((one) => ({ ...one, delayMs: 0 }));
            return { ...settlement, again };
          });
          return pools.exchange({ ...request, settlements });
        },
      })),
  }),
};

const pendingIgnored: PoolMutant = {
  name: "maxPending is ignored for tasks that are enqueued with keys",
  foundBy: ["maxPending: never more"],
  begin: () => ({
    storage: (inner) =>
      overlay(inner, {
        appendKeyed: async ({ items, chunks }) => {
          return inner.appendKeyed({ items, chunks: chunks.map(({ limit: _, ...one }) => one) });
        },
      }),
  }),
};

const unheard: PoolMutant = {
  name: "nobody hears that others commit tasks, or end some",
  foundBy: ["what may start does so in time"],
  // Others hear of what a process has no hands for; when that is to be is known where all is calm.
  only: ({ calm, faults, processes, pools }) =>
    calm && !faults.deaf && processes > 1 && pools.some((pool) => pool.maxConcurrencyPerWorker < 4),
  begin: () => ({ storage: (inner) => overlay(inner, { changed: () => false }) }),
};

const keyForgottenAtCancel: PoolMutant = {
  name: "an idempotency key is forgotten when its task is cancelled",
  foundBy: ["one task per key"],
  begin: () => {
    const keys = new Map<string, string>();
    const forgotten = new Set<string>();
    return {
      storage: (inner) =>
        spoil(
          inner,
          (pools) => ({
            cancel: async (queue, ids) => {
              const answers = await pools.cancel(queue, ids);
              for (const [n, id] of ids.entries()) {
                const key = keys.get(id);
                if (key !== undefined && answers[n] === "canceled") forgotten.add(key);
              }
              return answers;
            },
          }),
          {
            appendKeyed: async (append) => {
              const items = append.items.map((item) => {
                const isGone = item.key !== null && forgotten.has(item.key);
                return isGone ? { ...item, key: `${item.key} again` } : item;
              });
              const answers = await inner.appendKeyed({ ...append, items });
              const nth = new Map<number, number>();
              for (const { call, key } of append.items) {
                const n = nth.get(call) ?? 0;
                nth.set(call, n + 1);
                const answer = answers[call];
                const place = answer?.kind === "stored" ? answer.places[n] : undefined;
                if (key === null || place === undefined) continue;
                keys.set(`${place.chunk}:${place.index}`, key);
              }
              return answers;
            },
          },
        ),
    };
  },
};

export const LIMIT_MUTANTS: readonly PoolMutant[] = [
  parallelismPerProcess,
  serialKeyIgnored,
  throttleIgnored,
  pauseForgotten,
  noBackoff,
  pendingIgnored,
  unheard,
  keyForgottenAtCancel,
];
