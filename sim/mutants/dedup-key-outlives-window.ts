import type {
  AppendedChunk,
  NewChunk,
  Storage,
} from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const dedupKeyOutlivesWindow: Mutant = {
  name: "a key of duplicates outlives its window",
  about: "an item is left out although the first one with its key was sealed long ago",
  foundBy: ["I-4 counts add up", "seal: order and size", "claim: nothing due is passed over"],
  begin: () => {
    const held = new Set<string>();
    return {
      storage: (inner) =>
        decorate(inner, { append: async (chunks) => appendNew(inner, chunks, held) }),
    };
  },
};

const ONLY_A_LOOK = { incarnation: 0, settlements: [], claims: [], alone: false };

/** Stores the chunks, but for those of which every item has a key that was used before. */
async function appendNew(
  inner: Storage,
  chunks: readonly NewChunk[],
  held: Set<string>,
): Promise<AppendedChunk[]> {
  const appended: AppendedChunk[] = [];
  for (const chunk of chunks) {
    const { dedupKeys, queue, group } = chunk;
    const names = dedupKeys?.map((key) => JSON.stringify([queue, group, key]));
    if (names?.every((name) => held.has(name)) === true) {
      const { now } = await inner.exchange(ONLY_A_LOOK);
      appended.push({ id: inner.reserve?.() ?? 0, dueAt: now + chunk.dueInMs });
      continue;
    }
    for (const name of names ?? []) held.add(name);
    appended.push(...(await inner.append([chunk])));
  }
  return appended;
}
