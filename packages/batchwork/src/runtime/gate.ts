/**
 * How many handlers run in this process, and whether one of them must be alone. One gate serves all
 * storages of an engine, because a crash takes down the process, not a storage.
 */
export class Gate {
  #running = 0;
  /** Of those, handlers that run apart from all others. */
  #alone = 0;
  /** Who has a suspect waiting: nothing new starts until the process is idle. */
  readonly #wanted = new Set<object>();
  /** Who is asking for a suspect right now, so nobody else may start anything. */
  #asking: object | undefined;
  /** Who was refused because of `#asking`, and is to be called when that is over. */
  readonly #refused = new Set<object>();
  readonly #onFree = new Map<object, () => void>();

  /** Calls `fn` whenever there may be room again for `who`. */
  whenFree(who: object, fn: () => void): void {
    this.#onFree.set(who, fn);
  }

  /** True when `who` may claim batches beside those that run. */
  isOpenFor(who: object): boolean {
    if (this.#asking !== undefined && this.#asking !== who) {
      this.#refused.add(who);
      return false;
    }
    return this.#running === 0 || (this.#alone === 0 && this.#wanted.size === 0);
  }

  /** True while nothing starts because a suspect runs, or is to run, by itself. */
  get shut(): boolean {
    return this.#alone > 0 || (this.#running > 0 && this.#wanted.size > 0);
  }

  /** Starts asking for a suspect: true when nothing runs. Must be followed by `answer`. */
  ask(who: object): boolean {
    if (this.#running > 0 || (this.#asking !== undefined && this.#asking !== who)) return false;
    this.#asking = who;
    return true;
  }

  /** What came of asking or claiming: whether a suspect still waits. */
  answer(who: object, suspectWaiting: boolean): void {
    if (suspectWaiting) this.#wanted.add(who);
    else this.#wanted.delete(who);
    if (this.#asking !== who) return;
    this.#asking = undefined;
    // Not `who` itself: two that call each other would go round for ever.
    this.#call([...this.#refused]);
  }

  enter(alone: boolean): void {
    this.#running++;
    if (alone) this.#alone++;
  }

  leave(alone: boolean): void {
    this.#running--;
    if (alone) this.#alone--;
    if (this.#running === 0) this.#call([...this.#onFree.keys()]);
  }

  #call(whom: readonly object[]): void {
    this.#refused.clear();
    for (const who of whom) this.#onFree.get(who)?.();
  }
}
