import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const lookForgotten: Mutant = {
  name: "next look forgotten",
  about: "an engine does not look again when the storage said it should",
  foundBy: ["claim: in time"],
  begin: () => ({
    engine: (outer) =>
      decorate(outer, {
        exchange: async (request) => ({ ...(await outer.exchange(request)), nextAt: null }),
      }),
  }),
};
