import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const clockFreezes: Mutant = {
  name: "clock that freezes",
  about: "storage time stands still while wall time is behind what was stored",
  foundBy: ["time runs, and forward"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        open: ({ clock }) =>
          inner.open({
            clock: {
              wallMs: () => clock.wallMs(),
              after: (ms, fn) => clock.after(ms, fn),
              soon: (fn) => clock.soon(fn),
              random: () => clock.random(),
              monotonicMs: () => 0,
            },
          }),
      }),
  }),
};
