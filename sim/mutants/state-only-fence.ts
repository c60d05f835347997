import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const stateOnlyFence: Mutant = {
  name: "state-only fence",
  about: "whoever settles a leased batch counts as its owner",
  foundBy: ["I-8 authority"],
  begin: () => {
    const current = new Map<number, number>();
    const ownable = <L extends Lease>(lease: L): L => {
      return { ...lease, token: current.get(lease.batch) ?? lease.token };
    };
    return {
      storage: (inner) =>
        decorate(inner, {
          exchange: async (request) => {
            const settlements = request.settlements.map(ownable);
            const exchanged = await inner.exchange({ ...request, settlements });
            for (const { batch, token } of exchanged.claimed) current.set(batch, token);
            return exchanged;
          },
          transact: (request) => inner.transact({ ...request, lease: ownable(request.lease) }),
          progress: (lease, percent, note) => inner.progress(ownable(lease), percent, note),
        }),
    };
  },
};
