import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const strayLease: Mutant = {
  name: "lease that nobody runs",
  about: "an engine never asks which leases are stored, and its heartbeat keeps strangers alive",
  foundBy: ["lease that nobody runs"],
  begin: () => ({
    engine: (outer) => decorate(outer, { reconcile: () => Promise.resolve([]) }),
  }),
};
