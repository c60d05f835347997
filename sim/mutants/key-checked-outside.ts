import type {
  HeldKey,
  KeyedAnswer,
  KeyedAppend,
  KeyedItem,
  KeyedPlace,
} from "../../packages/batchwork/src/core/keyed.ts";
import type { Storage } from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

export const keyCheckedOutside: Mutant = {
  name: "key checked outside of the transaction",
  about: "keys are looked up before the append and noted after it, so two appends may pass",
  foundBy: ["I-3 membership never changes"],
  begin: () => {
    const known = new Map<string, HeldKey>();
    return {
      engine: (outer) =>
        decorate(outer, { appendKeyed: async (append) => appendKeyed(outer, append, known) }),
    };
  },
};

async function appendKeyed(
  outer: Storage,
  append: KeyedAppend,
  known: Map<string, HeldKey>,
): Promise<KeyedAnswer[]> {
  const nameOf = ({ chunk, key }: KeyedItem): string => `${append.chunks[chunk]?.queue} ${key}`;
  const calls: KeyedItem[][] = [];
  for (const item of append.items) (calls[item.call] ??= []).push(item);
  const answers = calls.map((items) =>
    look(
      items,
      items.map((item) => known.get(nameOf(item))),
    ),
  );
  const fresh = calls.filter((_, n) => answers[n] === undefined);
  const items = fresh.flatMap((call, n) => call.map((item) => ({ ...item, call: n, key: null })));
  const stored = items.length === 0 ? [] : await outer.appendKeyed({ ...append, items });
  for (const [n, call] of fresh.entries()) {
    const answer = stored[n] as KeyedAnswer;
    answers[(call[0] as KeyedItem).call] = answer;
    if (answer.kind !== "stored") continue;
    for (const [i, item] of call.entries()) {
      const { chunk, index } = answer.places[i] as KeyedPlace;
      known.set(nameOf(item), { chunk, index, digest: item.digest });
    }
  }
  return answers as KeyedAnswer[];
}

/** The answer for a call whose keys are known. */
function look(
  items: readonly KeyedItem[],
  found: readonly (HeldKey | undefined)[],
): KeyedAnswer | undefined {
  const places: KeyedPlace[] = [];
  for (const [n, { digest, key }] of items.entries()) {
    const held = found[n];
    if (held === undefined) return undefined;
    if (held.digest !== digest) return { kind: "conflict", key: key ?? "" };
    places.push({ chunk: held.chunk, index: held.index, duplicate: true });
  }
  return { kind: "stored", at: 0, places };
}
