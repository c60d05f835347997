import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const pauseForgotten: Mutant = {
  name: "pause is forgotten",
  about: "pause() stores nothing",
  foundBy: ["seal: only what is due", "I-11 transitions", "I-4 counts add up"],
  begin: () => ({
    storage: (inner) => decorate(inner, { setPaused: () => Promise.resolve() }),
  }),
};
