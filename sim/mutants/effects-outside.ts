import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const effectsOutside: Mutant = {
  name: "effects outside the transaction",
  about: "what a handler writes stays when its transaction is rolled back",
  foundBy: ["I-6 effects exactly once"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        transact: (request) =>
          inner.transact({
            ...request,
            run: (tx) => {
              const atOnce = { onCommit: (effect: () => void) => effect() };
              return request.run(Object.setPrototypeOf(atOnce, tx) as never);
            },
          }),
      }),
  }),
};
