import { QueueFullError, type Amount } from "../../packages/batchwork/src/core/pending.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

/** What a process added by itself is all that it counts. */
export const pendingPerProcess: Mutant = {
  name: "maxPending per process",
  about: "each process keeps to the limit for itself, whatever the others have added",
  foundBy: ["maxPending: never more"],
  begin: () => ({
    storage: (inner) => {
      const own = new Map<number, Amount>();
      return decorate(inner, {
        append: async (chunks) => {
          for (const { queue, limit, count } of chunks) {
            if (limit === undefined) continue;
            const { waiting } = await inner.counts(queue, null);
            const mine = Math.min(own.get(queue)?.items ?? 0, waiting);
            const need = { items: mine + count, bytes: 0 };
            if (need.items > limit.items) {
              const room = { items: Math.max(0, limit.items - mine), bytes: limit.bytes };
              throw new QueueFullError(limit, room, { items: count, bytes: 0 });
            }
            own.set(queue, need);
          }
          return inner.append(chunks.map(({ limit: _, ...chunk }) => chunk));
        },
      });
    },
  }),
};
