/** Bugs on purpose, underneath everything that looks on. Each must be found. */
import type { LoopLease } from "../../packages/batchwork/src/core/loop-transitions.ts";
import type { LoopStorage } from "../../packages/batchwork/src/storage/loops.ts";
import type { Storage } from "../../packages/batchwork/src/storage/storage.ts";
import type { Rng } from "../rng.ts";
import { overlay } from "../serial.ts";
import type { LoopInvariant } from "./watch.ts";

export interface LoopMutant {
  readonly name: string;
  readonly foundBy: readonly LoopInvariant[];
  /** Spoils the storage of each process; what the processes share is made once a run. */
  readonly begin: (rng: Rng) => (inner: Storage) => Storage;
}

/** `inner`, with other loops. */
function spoil(inner: Storage, change: (loops: LoopStorage) => Partial<LoopStorage>): Storage {
  return overlay(inner, { loops: overlay(inner.loops, change(inner.loops)) });
}

const ownedAreClaimed: LoopMutant = {
  name: "claims do not look whether a loop has an owner",
  foundBy: ["one owner at a time"],
  begin: () => {
    const held = new Map<number, LoopLease>();
    return (inner) =>
      spoil(inner, (loops) => ({
        claim: async (request) => {
          await loops.release([...held.values()]);
          const claimed = await loops.claim(request);
          for (const { id, token } of claimed.claimed) held.set(id, { loop: id, token });
          return claimed;
        },
      }));
  },
};

const anyTokenWrites: LoopMutant = {
  name: "steps are written whatever their token",
  foundBy: [
    "only the current token writes",
    "no state is replaced by an older one",
    "effects exactly once",
  ],
  begin: () => {
    const current = new Map<number, { readonly token: number; step: number }>();
    return (inner) =>
      spoil(inner, (loops) => ({
        claim: async (request) => {
          const claimed = await loops.claim(request);
          for (const { id, token, step } of claimed.claimed) current.set(id, { token, step });
          return claimed;
        },
        advance: async (steps) => {
          const forged = steps.map((step) => {
            const known = current.get(step.loop);
            return known === undefined
              ? step
              : { ...step, token: known.token, step: known.step + 1 };
          });
          const answers = await loops.advance(forged);
          for (const [n, { result }] of answers.entries()) {
            const known = current.get(forged[n]?.loop as number);
            if (result === "written" && known !== undefined) known.step++;
          }
          return answers;
        },
        transact: async (request) => {
          const known = current.get(request.lease.loop);
          if (known === undefined) return loops.transact(request);
          const lease = { loop: request.lease.loop, token: known.token };
          const transacted = await loops.transact({
            ...request,
            lease,
            step: () => {
              const step = request.step();
              return step && { ...step, token: known.token, step: known.step + 1 };
            },
          });
          if (transacted?.answer?.result === "written") known.step++;
          return transacted;
        },
      }));
  },
};

const olderState: LoopMutant = {
  name: "an owner is handed an older state",
  foundBy: ["no state is replaced by an older one"],
  begin: () => (inner) =>
    spoil(inner, (loops) => ({
      claim: async (request) => {
        const claimed = await loops.claim(request);
        return {
          ...claimed,
          claimed: claimed.claimed.map((loop) => ({ ...loop, step: Math.max(0, loop.step - 1) })),
        };
      },
    })),
};

const tokensRestart: LoopMutant = {
  name: "tokens are not raised by a claim",
  foundBy: ["tokens increase"],
  begin: () => (inner) =>
    spoil(inner, (loops) => ({
      claim: async (request) => {
        const claimed = await loops.claim(request);
        return { ...claimed, claimed: claimed.claimed.map((loop) => ({ ...loop, token: 1 })) };
      },
    })),
};

const pauseForgotten: LoopMutant = {
  name: "stop is not stored",
  foundBy: ["a paused loop is not claimed"],
  begin: () => (inner) =>
    spoil(inner, (loops) => ({
      control: async (ids, event) => {
        if (event !== "pause") return loops.control(ids, event);
        return ids.map(() => ({ changed: true, loop: null }));
      },
    })),
};

const pingDropped: LoopMutant = {
  name: "a ping of an idle loop is dropped now and then",
  foundBy: ["no wake-up is lost"],
  begin: (rng) => (inner) =>
    spoil(inner, (loops) => ({
      ping: async (pings) => {
        if (rng.chance(0.4)) return loops.ping(pings);
        return pings.map(() => "awake" as const);
      },
    })),
};

const effectsTwice: LoopMutant = {
  name: "what runs in a transaction runs twice",
  foundBy: ["effects exactly once"],
  begin: () => (inner) =>
    spoil(inner, (loops) => ({
      transact: async (request) =>
        loops.transact({
          ...request,
          run: (tx) => {
            void request.run(tx);
            return request.run(tx);
          },
        }),
    })),
};

export const LOOP_MUTANTS: readonly LoopMutant[] = [
  ownedAreClaimed,
  anyTokenWrites,
  olderState,
  tokensRestart,
  pauseForgotten,
  pingDropped,
  effectsTwice,
];
