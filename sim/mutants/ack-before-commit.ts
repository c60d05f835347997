import type { NewChunk, Storage } from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

/** Ids that nothing else uses. */
const FIRST_ID = 1_000_000;

export const ackBeforeCommit: Mutant = {
  name: "acknowledged before the commit",
  about:
    "add resolves when its chunk is in a buffer, which the next add writes and a crash empties",
  foundBy: ["claim: nothing due is passed over", "I-4 counts add up"],
  begin: () => {
    let last = FIRST_ID;
    return {
      storage: (inner) => {
        let buffered: readonly NewChunk[] = [];
        return decorate(inner, {
          append: async (chunks) => {
            if (buffered.length > 0) await inner.append(buffered);
            buffered = chunks;
            const now = await timeOf(inner);
            return chunks.map(({ dueInMs }) => ({ id: ++last, dueAt: now + dueInMs }));
          },
        });
      },
    };
  },
};

async function timeOf(storage: Storage): Promise<number> {
  const nothing = { incarnation: 0, settlements: [], claims: [], alone: false };
  return (await storage.exchange(nothing)).now;
}
