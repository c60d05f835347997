import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const neverDeadly: Mutant = {
  name: "crashes are never deadly",
  about: "an item that kills its process is handed out for ever",
  foundBy: ["I-12 attempts", "drains when faults end"],
  begin: () => ({
    storage: (inner) => decorate(inner, { reap: () => inner.reap(Number.POSITIVE_INFINITY) }),
  }),
};
