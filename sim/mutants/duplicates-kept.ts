import { withDedupKeys } from "./dedup-keys.ts";
import type { Mutant } from "./mutant.ts";

export const duplicatesKept: Mutant = {
  name: "duplicates are kept",
  about: "no item of a group is left out, whatever its key",
  foundBy: ["one item per window and key", "I-4 counts add up", "seal: order and size"],
  begin: () => {
    let keys = 0;
    return { storage: (inner) => withDedupKeys(inner, () => `${++keys}`) };
  },
};
