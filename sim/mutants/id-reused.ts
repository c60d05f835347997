import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const idReused: Mutant = {
  name: "id reused after a changed membership",
  about: "items that failed go on under the id of the batch they came from",
  foundBy: ["I-5 same id, same content"],
  begin: () => {
    const shown = new Map<number, number>();
    const stored = new Map<number, number>();
    const real = <L extends Lease>(lease: L): L => {
      return { ...lease, batch: stored.get(lease.batch) ?? lease.batch };
    };
    return {
      storage: (inner) =>
        decorate(inner, {
          exchange: async (request) => {
            const settlements = request.settlements.map(real);
            const exchanged = await inner.exchange({ ...request, settlements });
            const claimed = exchanged.claimed.map((one) => {
              if (one.parentId === null) return one;
              const id = shown.get(one.batch) ?? one.parentId;
              shown.set(one.batch, id);
              stored.set(id, one.batch);
              return { ...one, batch: id };
            });
            return { ...exchanged, claimed };
          },
          transact: (request) => inner.transact({ ...request, lease: real(request.lease) }),
          progress: (lease, percent, note) => inner.progress(real(lease), percent, note),
          release: (leases) => inner.release(leases.map(real)),
        }),
    };
  },
};
