import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const keyEndsEarly: Mutant = {
  name: "key forgotten at settle",
  about: "a key is free again as soon as its item is done",
  foundBy: ["I-3 membership never changes", "one item per key"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        appendKeyed: (append) => {
          const chunks = append.chunks.map((chunk) => ({ ...chunk, keyTtlMs: 0 }));
          return inner.appendKeyed({ ...append, chunks });
        },
      }),
  }),
};
