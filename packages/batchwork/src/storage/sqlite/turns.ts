/** One operation at a time on a connection, in the order of the calls. */

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Calls `work` when everything that was taken before has ended. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    // Whoever took a turn hears of its failure; those behind it go on.
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
