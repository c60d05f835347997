import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const groupLimitIgnored: Mutant = {
  name: "group limit ignored",
  about: "groupConcurrency does not hold",
  foundBy: ["I-10 one lease, group limit"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        exchange: (request) => {
          const claims = request.claims.map((claim) => {
            return { ...claim, groupConcurrency: Number.POSITIVE_INFINITY };
          });
          return inner.exchange({ ...request, claims });
        },
      }),
  }),
};
