import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const crashIsAttempt: Mutant = {
  name: "crash counted as attempt",
  about: "a batch whose owner died comes back with one attempt used up",
  foundBy: ["I-12 attempts"],
  begin: () => {
    const owners = new Map<number, number>();
    const crashes = new Map<number, number>();
    return {
      storage: (inner) =>
        decorate(inner, {
          exchange: async (request) => {
            const exchanged = await inner.exchange(request);
            const claimed = exchanged.claimed.map((one) => {
              owners.set(one.batch, request.incarnation);
              return { ...one, attempt: one.attempt + (crashes.get(one.batch) ?? 0) };
            });
            return { ...exchanged, claimed };
          },
          reap: async (maxCrashes) => {
            const reaped = await inner.reap(maxCrashes);
            for (const [batch, owner] of owners) {
              if (!reaped.incarnations.includes(owner)) continue;
              crashes.set(batch, (crashes.get(batch) ?? 0) + 1);
            }
            return reaped;
          },
        }),
    };
  },
};
