import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const neverAbsolved: Mutant = {
  name: "slow process counts as crashed",
  about: "what was held against a process that was only suspended is never taken back",
  foundBy: ["suspect runs alone", "I-12 attempts"],
  begin: () => ({
    storage: (inner) => decorate(inner, { absolve: () => Promise.resolve() }),
  }),
};
