import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const hookCalledAgain: Mutant = {
  name: "hook called for every delivery",
  about: "a batch that beforeFlush has changed goes through it again when it is tried again",
  foundBy: ["I-5 same id, same content"],
  begin: () => ({
    engine: (outer) =>
      decorate(outer, {
        exchange: async (request) => {
          const exchanged = await outer.exchange(request);
          const claimed = exchanged.claimed.map((batch) => ({ ...batch, prepared: false }));
          return { ...exchanged, claimed };
        },
      }),
  }),
};
