import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const announcedLate: Mutant = {
  name: "next look announced late",
  about: "nextAt is later than the time at which something is due",
  foundBy: ["claim: nothing due is passed over"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        exchange: async (request) => {
          const exchanged = await inner.exchange(request);
          const { nextAt } = exchanged;
          return { ...exchanged, nextAt: nextAt === null ? null : nextAt + 1000 };
        },
      }),
  }),
};
