/** Mutants that get wrong how tasks end, or who hears of it. */
import { joinItems, splitItems } from "../../../packages/batchwork/src/core/codec.ts";
import { spoil, type PoolMutant } from "./mutant.ts";

const settledWithoutToken: PoolMutant = {
  name: "tasks are settled whoever owns them, and whatever the token",
  foundBy: ["only the current token writes"],
  // Somebody has to come back who was taken for dead.
  only: ({ faults, processes }) => faults.pause > 0 && processes > 1,
  begin: () => {
    const leases = new Map<number, { readonly token: number; readonly owner: number }>();
    return {
      storage: (inner) =>
        spoil(inner, (pools) => ({
          exchange: async (request) => {
            const settled: ("settled" | "lost")[] = [];
            for (const settlement of request.settlements) {
              const { token, owner } = leases.get(settlement.batch) ?? {
                token: settlement.token,
                owner: request.incarnation,
              };
              const forged = { claims: [], alone: false, settlements: [{ ...settlement, token }] };
              const answer = await pools.exchange({ incarnation: owner, ...forged });
              settled.push(...answer.settled);
            }
            const exchanged = await pools.exchange({ ...request, settlements: [] });
            for (const { batch, token } of exchanged.claimed) {
              leases.set(batch, { token, owner: request.incarnation });
            }
            return { ...exchanged, settled };
          },
        })),
    };
  },
};

const callbackDropped: PoolMutant = {
  name: "nobody is told of tasks whose settlement is tried again",
  foundBy: ["whoever ends is told of, once"],
  begin: () => ({
    engine: (inner) => {
      const failed = new Set<number>();
      return spoil(inner, (pools) => ({
        exchange: async (request) => {
          const settlements = request.settlements.map((settlement) => {
            return failed.has(settlement.batch) ? { ...settlement, callbacks: null } : settlement;
          });
          try {
            return await pools.exchange({ ...request, settlements });
          } catch (error) {
            for (const { batch } of settlements) failed.add(batch);
            throw error;
          }
        },
      }));
    },
  }),
};

const cancelOverwrites: PoolMutant = {
  name: "cancelling a task that has finished takes its result",
  foundBy: ["results are right and stay"],
  begin: () => {
    const taken = new Set<string>();
    return {
      storage: (inner) =>
        spoil(inner, (pools) => ({
          cancel: async (queue, ids) => {
            const answers = await pools.cancel(queue, ids);
            for (const [n, id] of ids.entries()) if (answers[n] === "finished") taken.add(id);
            return answers;
          },
          findTasks: async (queue, ids) => {
            const found = await pools.findTasks(queue, ids);
            return found.map((one, n) => {
              if (one.status !== "finished" || !taken.has(ids[n] as string)) return one;
              return { ...one, kind: "canceled" as const, value: null, error: null };
            });
          },
        })),
    };
  },
};

const resultsMixedUp: PoolMutant = {
  name: "results that are settled together are mixed up",
  foundBy: ["results are right and stay"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const settlements = request.settlements.map((settlement) => {
            const { values } = settlement;
            if (values === null) return settlement;
            const turned = joinItems(splitItems(values as string).toReversed());
            return { ...settlement, values: turned };
          });
          return pools.exchange({ ...request, settlements });
        },
      })),
  }),
};

const cancelUnheard: PoolMutant = {
  name: "a process that has no room does not hear what was cancelled",
  foundBy: ["drains when faults end", "cancelled tasks are told to stop in time"],
  begin: () => ({
    engine: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const exchanged = await pools.exchange(request);
          const hasRoom = request.claims.some(({ limit }) => limit > 0);
          return hasRoom ? exchanged : { ...exchanged, canceled: [] };
        },
      })),
  }),
};

export const END_MUTANTS: readonly PoolMutant[] = [
  settledWithoutToken,
  callbackDropped,
  cancelOverwrites,
  resultsMixedUp,
  cancelUnheard,
];
