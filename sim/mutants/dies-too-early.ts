import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const diesTooEarly: Mutant = {
  name: "dead one crash too early",
  about: "a batch is dead after maxCrashes - 1 crashes alone",
  foundBy: ["I-12 attempts"],
  begin: () => ({
    storage: (inner) => decorate(inner, { reap: (maxCrashes) => inner.reap(maxCrashes - 1) }),
  }),
};
