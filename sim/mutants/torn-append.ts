import { BatchworkError } from "../../packages/batchwork/src/core/errors.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const tornAppend: Mutant = {
  name: "append is not atomic",
  about: "a failure in the middle keeps the chunks that were written before it",
  foundBy: ["I-5 same id, same content", "I-4 counts add up", "add is all or nothing"],
  begin: () => ({
    storage: (inner, { rng }) =>
      decorate(inner, {
        append: async (chunks) => {
          if (chunks.length < 2 || !rng.chance(0.1)) return inner.append(chunks);
          await inner.append(chunks.slice(0, 1));
          throw new BatchworkError("STORAGE_FAILED", "The second insert failed.");
        },
      }),
  }),
};
