import { hasCode } from "../../packages/batchwork/src/core/errors.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const appendRetried: Mutant = {
  name: "append retried after a lost reply",
  about: "an engine takes an error for a no, and stores the items again",
  foundBy: ["I-3 membership never changes"],
  begin: () => ({
    engine: (outer) =>
      decorate(outer, {
        append: async (chunks) => {
          try {
            return await outer.append(chunks);
          } catch (error) {
            if (!hasCode(error, "STORAGE_FAILED")) throw error;
            return outer.append(chunks);
          }
        },
      }),
  }),
};
