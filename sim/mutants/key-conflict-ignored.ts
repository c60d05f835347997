import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const keyConflictIgnored: Mutant = {
  name: "other content under a key is a duplicate",
  about: "an item is acknowledged that was never stored, because another one has its key",
  foundBy: ["one item per key"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        appendKeyed: (append) => {
          const items = append.items.map((item) => ({ ...item, digest: "" }));
          return inner.appendKeyed({ ...append, items });
        },
      }),
  }),
};
