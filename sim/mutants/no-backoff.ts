import { withOutcomes } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const noBackoff: Mutant = {
  name: "retry without backoff",
  about: "a batch that failed is tried again at once",
  foundBy: ["seal: only what is due"],
  begin: () => ({
    storage: (inner) =>
      withOutcomes(inner, (outcome) =>
        outcome.kind === "again" ? { ...outcome, delayMs: 0 } : outcome,
      ),
  }),
};
