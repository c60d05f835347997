import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const sealedEarly: Mutant = {
  name: "partial batch sealed early",
  about: "a claim takes whatever waits, full or due or not",
  foundBy: ["seal: only what is due"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        exchange: async (request) => {
          for (const { queue, limit } of request.claims) {
            if (limit > 0) await inner.makeDue(queue, null);
          }
          return inner.exchange(request);
        },
      }),
  }),
};
