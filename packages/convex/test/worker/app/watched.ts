/** What the functions were told to do, and how often they were asked. */
export const watched = {
  /** Asked so far. */
  queries: 0,
  /** Batches begun so far, those that threw included. */
  batches: 0,
  batchSize: 10,
  /** What an empty queue answers. */
  idle: {} as { cooldownMs?: number; pollIntervalMs?: number; timeoutMs?: number },
  /** What a batch returns. */
  steer: null as { debounceMs?: number } | null,
  /** The query answers with the batch before, as from a snapshot that is too old. */
  repeats: 0,
  /** Throws as long as it is above 0. */
  queryFails: 0,
  mutationFails: 0,
  /** A value that no batch may have in it. */
  poison: null as number | null,
  /** What `onDead` throws, as often as this says. */
  onDeadFails: 0,
  /** Bytes that are in every batch beside its rows. */
  padBytes: 0,
  /** Sizes of the batches that were tried, in order. */
  sizes: [] as number[],
  /** What the query was asked for at most, where it was. */
  limits: [] as number[],
  /** The mutation leaves its batch where it is. */
  forgets: false,
  /** The mutation kicks its own worker. */
  kicks: false,
};

const INITIAL = structuredClone(watched);

export function resetWatched(): void {
  Object.assign(watched, structuredClone(INITIAL));
}
