import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const unfencedHeartbeat: Mutant = {
  name: "heartbeat not fenced",
  about: "an incarnation that was declared dead hears that it lives",
  foundBy: ["I-8 authority"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        heartbeat: async (incarnation, leaseMs) => {
          await inner.heartbeat(incarnation, leaseMs);
          return true;
        },
      }),
  }),
};
