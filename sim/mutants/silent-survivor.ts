import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const silentSurvivor: Mutant = {
  name: "silent survivor",
  about: "a process that was taken for dead goes on and says nothing",
  foundBy: ["slow is not dead"],
  begin: () => ({ engine: (outer) => decorate(outer, { absolve: () => Promise.resolve() }) }),
};
