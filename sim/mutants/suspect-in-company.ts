import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const suspectInCompany: Mutant = {
  name: "suspect runs beside others",
  about: "a batch whose owner died is handed to a process that runs others",
  foundBy: ["suspect runs alone"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, { exchange: (request) => inner.exchange({ ...request, alone: true }) }),
  }),
};
