import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const unheard: Mutant = {
  name: "commits of others go unheard",
  about: "a process looks at what others added only when its regular look comes round",
  foundBy: ["claim: in time"],
  begin: () => ({ engine: (outer) => decorate(outer, { changed: () => false }) }),
};
