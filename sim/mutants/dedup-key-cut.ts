import { withDedupKeys } from "./dedup-keys.ts";
import type { Mutant } from "./mutant.ts";

export const dedupKeyCut: Mutant = {
  name: "long keys of duplicates are cut",
  about: "items are left out whose keys only begin alike",
  foundBy: ["I-4 counts add up", "seal: order and size", "drains when faults end"],
  begin: () => ({ storage: (inner) => withDedupKeys(inner, (key) => key.slice(0, 4)) }),
};
