import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

/** No group has this name. */
const NOBODY = "(no such group)";

export const flushForgotten: Mutant = {
  name: "flush makes nothing due",
  about: "flush() only waits",
  foundBy: ["claim: nothing due is passed over", "flush and drain mean it"],
  begin: () => ({
    storage: (inner) => decorate(inner, { makeDue: (queue) => inner.makeDue(queue, NOBODY) }),
  }),
};
