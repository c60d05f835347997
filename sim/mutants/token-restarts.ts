import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import type { ClaimedBatch } from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const tokenRestarts: Mutant = {
  name: "token that restarts",
  about: "tokens start from 1 again after a release or a crash",
  foundBy: ["I-9 tokens increase"],
  begin: () => {
    /** What to add to a token that was handed out, to get the storage's. */
    const bases = new Map<number, number>();
    const retried = new Set<number>();
    const real = <L extends Lease>(lease: L): L => {
      return { ...lease, token: lease.token + (bases.get(lease.batch) ?? 0) };
    };
    const restarted = (claimed: ClaimedBatch): ClaimedBatch => {
      const { batch, token } = claimed;
      if (!retried.delete(batch)) bases.set(batch, token - 1);
      return { ...claimed, token: token - (bases.get(batch) ?? 0) };
    };
    return {
      storage: (inner) =>
        decorate(inner, {
          exchange: async (request) => {
            const settlements = request.settlements.map(real);
            for (const { batch, outcome } of settlements) {
              if (outcome.kind === "again") retried.add(batch);
            }
            const exchanged = await inner.exchange({ ...request, settlements });
            return { ...exchanged, claimed: exchanged.claimed.map(restarted) };
          },
          transact: (request) => inner.transact({ ...request, lease: real(request.lease) }),
          progress: (lease, percent, note) => inner.progress(real(lease), percent, note),
          release: (leases) => inner.release(leases.map(real)),
          reconcile: async (incarnation, known) => {
            const lost = await inner.reconcile(incarnation, known.map(real));
            return known.filter(({ batch }) => lost.some((lease) => lease.batch === batch));
          },
        }),
    };
  },
};
