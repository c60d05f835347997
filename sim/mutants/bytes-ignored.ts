import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const bytesIgnored: Mutant = {
  name: "maxBytes ignored",
  about: "batches grow beyond maxBytes",
  foundBy: ["seal: order and size"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        exchange: (request) => {
          const claims = request.claims.map((claim) => {
            return { ...claim, maxBytes: Number.POSITIVE_INFINITY };
          });
          return inner.exchange({ ...request, claims });
        },
      }),
  }),
};
