/** What settlements change about groups, added up so that each row is written once. */
import type { Transaction } from "./transaction.ts";

interface Change {
  active: number;
  ready: number;
  readyAt: number | null;
}

export class GroupChanges {
  readonly #sql: Transaction["sql"];
  readonly #changes = new Map<number, Change>();

  constructor({ sql }: Transaction) {
    this.#sql = sql;
  }

  /** A batch of the group is leased no longer. */
  ended(group: number): void {
    this.#change(group).active--;
  }

  /** A batch of the group that is no suspect waits for its next attempt. */
  readied(group: number, runAt: number): void {
    const change = this.#change(group);
    change.ready++;
    change.readyAt = Math.min(change.readyAt ?? runAt, runAt);
  }

  save(): void {
    for (const [id, { active, ready, readyAt }] of this.#changes) {
      this.#sql.changeGroup.run({ id, active, ready, readyAt });
    }
    this.#changes.clear();
  }

  #change(group: number): Change {
    let change = this.#changes.get(group);
    if (change === undefined) {
      change = { active: 0, ready: 0, readyAt: null };
      this.#changes.set(group, change);
    }
    return change;
  }
}
