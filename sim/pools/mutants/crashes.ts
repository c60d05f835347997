/** Mutants that get wrong what the death of a process, or a lost reply, means for tasks. */
import { overlay } from "../../serial.ts";
import { spoil, type PoolMutant } from "./mutant.ts";

const crashIsAttempt: PoolMutant = {
  name: "the crash of a process is an attempt of its tasks",
  foundBy: ["attempts are counted right"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const exchanged = await pools.exchange(request);
          const claimed = exchanged.claimed.map((slice) => {
            return slice.alone ? { ...slice, attempt: slice.attempt + 1 } : slice;
          });
          return { ...exchanged, claimed };
        },
      })),
  }),
};

const suspectsInCompany: PoolMutant = {
  name: "suspects are handed to a process that runs something else",
  foundBy: ["suspects run apart"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => pools.exchange({ ...request, alone: true }),
      })),
  }),
};

const neverDeadly: PoolMutant = {
  name: "a task may kill its process as often as it likes",
  foundBy: ["crashes are counted right"],
  begin: () => ({
    storage: (inner) => overlay(inner, { reap: async () => inner.reap(Number.POSITIVE_INFINITY) }),
  }),
};

const strangersKept: PoolMutant = {
  name: "tasks that nobody runs stay leased after a lost reply",
  foundBy: ["nothing due is passed over", "the current token is heard", "drains when faults end"],
  begin: () => ({
    storage: (inner) => spoil(inner, () => ({ reconcile: async () => [] })),
  }),
};

const tokensRestart: PoolMutant = {
  name: "tokens are not raised by a claim",
  foundBy: ["tokens increase"],
  begin: () => ({
    storage: (inner) =>
      spoil(inner, (pools) => ({
        exchange: async (request) => {
          const exchanged = await pools.exchange(request);
          const claimed = exchanged.claimed.map((slice) => ({ ...slice, token: 1 }));
          return { ...exchanged, claimed };
        },
      })),
  }),
};

export const CRASH_MUTANTS: readonly PoolMutant[] = [
  crashIsAttempt,
  suspectsInCompany,
  neverDeadly,
  strangersKept,
  tokensRestart,
];
