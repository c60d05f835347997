import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const toldTooSoon: Mutant = {
  name: "onDead acknowledged before it ran",
  about: "a crash between taking a dead letter and onDead loses the notice",
  foundBy: ["onDead is told"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        takeUnnotified: async (queues, limit, retryMs) => {
          const rows = await inner.takeUnnotified(queues, limit, retryMs);
          await inner.acknowledgeDead(rows.map(({ id }) => id));
          return rows;
        },
      }),
  }),
};
