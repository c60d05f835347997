import { withOutcomes } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const retryLosesItems: Mutant = {
  name: "retry loses the failed items",
  about: "items that failed by themselves do not go on",
  foundBy: ["claim: nothing due is passed over", "I-4 counts add up"],
  begin: () => ({
    storage: (inner) =>
      withOutcomes(inner, (outcome) =>
        outcome.kind === "split" ? { ...outcome, children: [] } : outcome,
      ),
  }),
};
