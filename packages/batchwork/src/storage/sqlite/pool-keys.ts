/** What the end of tasks changes about serial keys, added up so that each row is written once. */
import type { Transaction } from "./transaction.ts";

interface Change {
  readonly queue: number;
  readonly key: string;
  /** Tasks that are leased no longer. */
  ended: number;
  /** The best priority among those that became ready. */
  ready: number | null;
}

export class KeyChanges {
  readonly #tx: Transaction;
  readonly #changes = new Map<string, Change>();

  constructor(tx: Transaction) {
    this.#tx = tx;
  }

  /** Tasks of the key are leased no longer. Those without a key wait for nobody. */
  ended(queue: number, key: string, tasks: number): void {
    if (key !== "") this.#change(queue, key).ended += tasks;
  }

  /** Tasks of the key wait for a claim. */
  readied(queue: number, key: string, priority: number): void {
    const change = this.#change(queue, key);
    change.ready = Math.min(change.ready ?? priority, priority);
  }

  save(): void {
    const { sql } = this.#tx;
    for (const { queue, key, ended, ready } of this.#changes.values()) {
      if (ready !== null) sql.openKey.run(queue, key, ready, this.#tx.nextTurn());
      if (ended > 0) {
        sql.tasksEnded.run({ queue, key, n: ended });
        sql.forgetKey.run(queue, key);
      }
    }
    this.#changes.clear();
  }

  #change(queue: number, key: string): Change {
    const name = `${queue}:${key}`;
    let change = this.#changes.get(name);
    if (change === undefined) {
      change = { queue, key, ended: 0, ready: null };
      this.#changes.set(name, change);
    }
    return change;
  }
}
