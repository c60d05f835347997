import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const reapedEarly: Mutant = {
  name: "reaped before the lease ran out",
  about: "a heartbeat renews for half a lease",
  foundBy: ["I-10 one lease, group limit"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        heartbeat: (incarnation, leaseMs) => inner.heartbeat(incarnation, leaseMs / 2),
      }),
  }),
};
