import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const strangerKept: Mutant = {
  name: "reconcile keeps strangers",
  about: "leases that their owner does not know of are not released",
  foundBy: ["claim: nothing due is passed over", "I-4 counts add up"],
  begin: () => {
    const queues = new Set<number>();
    return {
      storage: (inner) =>
        decorate(inner, {
          define: async (definitions) => {
            const infos = await inner.define(definitions);
            for (const { id } of infos) queues.add(id);
            return infos;
          },
          reconcile: async (incarnation, known) => {
            const strangers: Lease[] = [];
            for (const queue of queues) {
              for (const { batch, token, incarnation: owner } of await inner.running(queue)) {
                const isKnown = known.some((lease) => lease.batch === batch);
                if (owner === incarnation && !isKnown) strangers.push({ batch, token });
              }
            }
            return inner.reconcile(incarnation, [...known, ...strangers]);
          },
        }),
    };
  },
};
