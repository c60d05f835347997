/** Settlements on their way to the storage: they ride on the next exchange. */
import type { Lease } from "../core/lease.ts";
import type { Settlement } from "../storage/storage.ts";
import { leaseLost, settled } from "./observation.ts";
import type { Run } from "./run.ts";
import type { Surroundings } from "./surroundings.ts";

/** What the storage answered to some of them. */
export interface OutboxAnswer {
  /** True when items became dead letters. */
  readonly dead: boolean;
  /** Batches that others have taken over. */
  readonly lost: readonly Lease[];
}

export class Outbox {
  readonly #around: Surroundings;
  #waiting: Settlement[] = [];
  /** The deliveries that those belong to that are not certain yet. */
  readonly #runs = new Map<Settlement, Run>();

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** What waits to be taken. */
  get waiting(): readonly Settlement[] {
    return this.#waiting;
  }

  put(settlement: Settlement, run: Run): void {
    this.#waiting.push(settlement);
    this.#runs.set(settlement, run);
  }

  /** Everything, for an exchange. */
  take(): readonly Settlement[] {
    const taken = this.#waiting;
    this.#waiting = [];
    return taken;
  }

  /** The exchange failed: they go first in the next one. */
  giveBack(taken: readonly Settlement[]): void {
    this.#waiting = [...taken, ...this.#waiting];
  }

  /** The exchange answered, position by position. */
  answered(taken: readonly Settlement[], answers: readonly ("settled" | "lost")[]): OutboxAnswer {
    let dead = false;
    const lost: Lease[] = [];
    for (const [n, settlement] of taken.entries()) {
      const { batch, token, outcome } = settlement;
      const { queue, claimed, end } = this.#runs.get(settlement) as Run;
      this.#runs.delete(settlement);
      if (answers[n] === "settled") {
        dead ||= outcome.kind === "split" && outcome.dead.length > 0;
        settled(queue, claimed, outcome, end, this.#around.hookCalls);
      } else {
        lost.push({ batch, token });
        leaseLost(queue, claimed);
      }
    }
    return { dead, lost };
  }
}
