import type { Mutant } from "./mutant.ts";
import { withWindow, type Windows } from "./throttle-window.ts";

export const throttleSkipsRetries: Mutant = {
  name: "throttle counts first attempts only",
  about: "retries and children of a split do not count",
  foundBy: ["throttle: no more in any span"],
  begin: () => {
    const windows: Windows = new Map();
    return {
      storage: (inner) =>
        withWindow(inner, windows, ({ attempt, parentId }) => attempt === 1 && parentId === null),
    };
  },
};
