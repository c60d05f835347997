import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const sizeIsTrigger: Mutant = {
  name: "maxSize is a trigger, not a cap",
  about: "a batch takes more than maxSize where more wait",
  foundBy: ["seal: order and size"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        exchange: (request) => {
          const claims = request.claims.map((claim) => ({ ...claim, maxSize: claim.maxSize * 2 }));
          return inner.exchange({ ...request, claims });
        },
      }),
  }),
};
