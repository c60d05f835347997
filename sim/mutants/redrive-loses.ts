import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const redriveLoses: Mutant = {
  name: "redrive deletes",
  about: "dead letters are taken out and not put back",
  foundBy: ["claim: nothing due is passed over", "I-4 counts add up"],
  begin: () => ({
    storage: (inner) => decorate(inner, { redrive: (queue, ids) => inner.discard(queue, ids) }),
  }),
};
