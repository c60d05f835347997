import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const settleBeforeEffects: Mutant = {
  name: "settle before effects",
  about: "the acknowledgement commits by itself, and the effects a moment later",
  foundBy: ["I-6 effects exactly once"],
  begin: () => ({
    storage: (inner, { clock }) =>
      decorate(inner, {
        transact: async (request) => {
          const effects: (() => void)[] = [];
          const later = { onCommit: (effect: () => void) => effects.push(effect) };
          const result = await inner.transact({
            ...request,
            run: (tx) => request.run(Object.setPrototypeOf(later, tx) as never),
          });
          clock.soon(() => {
            for (const effect of effects) effect();
          });
          return result;
        },
      }),
  }),
};
