import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const hookUnfenced: Mutant = {
  name: "hook result not fenced",
  about: "what beforeFlush returned to a process that was taken for dead is stored",
  foundBy: ["I-8 authority"],
  begin: () => {
    const current = new Map<number, number>();
    const ownable = ({ batch, token }: Lease): Lease => {
      return { batch, token: current.get(batch) ?? token };
    };
    return {
      storage: (inner) =>
        decorate(inner, {
          exchange: async (request) => {
            const exchanged = await inner.exchange(request);
            for (const { batch, token } of exchanged.claimed) current.set(batch, token);
            return exchanged;
          },
          prepare: (lease, parts, results) => inner.prepare(ownable(lease), parts, results),
        }),
    };
  },
};
