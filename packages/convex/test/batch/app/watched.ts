/** What the user's actions were called with, and what they are told to do. */
export const watched = {
  /** Batches that were delivered, those that failed included. */
  batches: [] as number[][],
  /** Batches that succeeded. */
  done: [] as number[][],
  /** Throws as long as it is above 0. */
  fails: 0,
  /** Throws when it is in the batch. */
  poison: null as number | null,
  /** Items that are said to have failed, as long as they are here. */
  rejected: [] as number[],
  /** The next batch never returns. */
  hangs: 0,
  /** The next batch is done, and never returns. */
  hangsAfter: 0,
  /** How long a batch takes, ms. */
  ms: 0,
  /** What is thrown. */
  message: "no batch",
  /** Pages larger than this break a limit. */
  pageMax: Number.POSITIVE_INFINITY,
  /** `onComplete` throws as long as it is above 0. */
  completeFails: 0,
};

const INITIAL = structuredClone(watched);

export function resetWatched(): void {
  Object.assign(watched, structuredClone(INITIAL));
}

/** What a user's action does with a batch. */
export async function deliver(batch: number[]): Promise<void> {
  watched.batches.push(batch);
  if (watched.hangs-- > 0) await Promise.withResolvers<never>().promise;
  if (watched.ms > 0) {
    await new Promise((resolve) => {
      setTimeout(resolve, watched.ms);
    });
  }
  if (watched.fails-- > 0) throw new Error(watched.message);
  if (watched.poison !== null && batch.includes(watched.poison)) throw new Error("poison");
  watched.done.push(batch.filter((n) => !watched.rejected.includes(n)));
  if (watched.hangsAfter-- > 0) await Promise.withResolvers<never>().promise;
}
