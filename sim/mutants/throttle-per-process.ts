import type { Mutant } from "./mutant.ts";
import { withWindow } from "./throttle-window.ts";

export const throttlePerProcess: Mutant = {
  name: "throttle counted by each process for itself",
  about: "the others' deliveries do not count",
  foundBy: ["throttle: no more in any span"],
  begin: () => ({ storage: (inner) => withWindow(inner, new Map(), () => true) }),
};
