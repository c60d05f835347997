import { withDedupKeys } from "./dedup-keys.ts";
import type { Mutant } from "./mutant.ts";

export const duplicatesPerProcess: Mutant = {
  name: "duplicates are left out per process",
  about: "a process knows the keys of its own items only",
  foundBy: ["one item per window and key", "I-4 counts add up", "seal: order and size"],
  begin: () => {
    let processes = 0;
    return {
      storage: (inner) => {
        const own = ++processes;
        return withDedupKeys(inner, (key) => `${own} ${key}`);
      },
    };
  },
};
