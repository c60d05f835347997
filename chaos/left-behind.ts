/** What the engine itself says of what is left, for those who wait until there is nothing. */
import { Batchwork, type Batch } from "batchwork";

import { openStore, type Place } from "./stores.ts";
import { define, ENGINE, SILENT, type ChaosItem } from "./work.ts";

export interface Left {
  /** Items that wait, and batches that wait for another attempt. */
  readonly unfinished: number;
  readonly leased: number;
  /** All dead letters. */
  readonly letters: readonly ChaosItem[];
}

export async function leftBehind(place: Place): Promise<Left> {
  const store = openStore(place, false);
  const engine = new Batchwork({ storage: store.storage, logger: SILENT, ...ENGINE });
  try {
    const queues = define(engine, { begin: () => undefined, commit: store.commit });
    let unfinished = 0;
    let leased = 0;
    const letters: ChaosItem[] = [];
    for (const queue of [queues.chaos, queues.follow, queues.probe]) {
      const status = await queue.status();
      unfinished += status.waiting + status.retrying;
      leased += status.leased;
      letters.push(...(await lettersOf(queue)));
    }
    return { unfinished, leased, letters };
  } finally {
    await engine.stop();
    await store.close();
  }
}

async function lettersOf(batch: Batch<ChaosItem>): Promise<ChaosItem[]> {
  const letters: ChaosItem[] = [];
  for (let after = 0; ;) {
    const page = await batch.deadLetters.list({ after, limit: 1000 });
    letters.push(...page.map(({ item }) => item));
    const last = page.at(-1);
    if (last === undefined) return letters;
    after = last.id;
  }
}
