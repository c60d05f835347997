/**
 * The part of the storage port that keeps the items of finished batches, to run them again.
 *
 * A settlement whose outcome is `done` and says `keep` keeps the items of its batch with it. The
 * definition of the queue (`definitions.ts`) says how many finished batches are kept, and for how
 * long, and the same of dead letters; the reaper forgets the rest in bounded steps: finished
 * batches not sooner than `FINISHED_MS_MIN` after they ended, dead letters not before `onDead` was
 * told, where somebody wants to be. Items of a dead letter that is forgotten ended: their keys do.
 *
 * Outcomes that do not say `keep` do without any of this.
 */
export interface Retaining {
  /**
   * Puts the kept items of a finished batch back as a new batch, due at once, with all attempts:
   * new items with new ids, whose parent is the batch. It hands them over as they were handed over
   * then, and stays as it is. Resolves with the id of the new batch, or with `null` when the queue
   * has no such finished batch or its items are not kept.
   *
   * After a failure it may have happened: then the history has, or will have, a batch of that
   * parent.
   */
  replay(queue: number, batch: number): Promise<number | null>;
}
