import { withOutcomes } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const deadLetterDropped: Mutant = {
  name: "dead letter dropped",
  about: "items that are out of attempts vanish",
  foundBy: ["I-4 counts add up", "I-1 acknowledged items exist"],
  begin: () => ({
    storage: (inner) =>
      withOutcomes(inner, (outcome) =>
        outcome.kind === "split" ? { ...outcome, dead: [] } : outcome,
      ),
  }),
};
