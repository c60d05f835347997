/** Storage time as the ledger knows it: readings where there are any, bounds elsewhere. */
import type { ProcessClock, Scheduler } from "../scheduler.ts";
import type { Ledger } from "./ledger.ts";

/** Rounding to whole ms, here and there. */
const SLACK_MS = 2;

interface FirstReading {
  readonly at: number;
  readonly virtual: number;
}

/** One life of a process. */
export interface Reader {
  readonly number: number;
  readonly clock: ProcessClock;
}

export class LedgerTime {
  readonly #scheduler: Scheduler;
  readonly #ledger: Ledger;
  readonly #first = new Map<number, FirstReading>();
  /** The largest reading so far at which something was written. */
  #latest = 0;

  constructor(scheduler: Scheduler, ledger: Ledger) {
    this.#scheduler = scheduler;
    this.#ledger = ledger;
  }

  get latest(): number {
    return this.#latest;
  }

  /** No storage clock that follows its inputs has come further than this. */
  get atMost(): number {
    return Math.ceil(this.#scheduler.timeBound) + SLACK_MS;
  }

  /** No storage clock that this process reads now may show less. */
  atLeast(clock: ProcessClock): number {
    return Math.max(this.#latest, clock.wallMs());
  }

  /**
   * Checks a time that the storage answered to one life of a process. `kept` when something was
   * written at that time; a storage need not remember the time of a look that found nothing.
   */
  read({ number: life, clock }: Reader, at: number, kept: boolean): void {
    const { now } = this.#scheduler;
    if (at < this.#latest) {
      this.#ledger.fail("time runs, and forward", `${at} after ${this.#latest}`);
    }
    if (at > this.atMost) {
      this.#ledger.fail("time runs, and forward", `${at} is ahead of every clock`);
    }
    if (at < clock.wallMs()) {
      this.#ledger.fail("time runs, and forward", `${at} is behind wall time ${clock.wallMs()}`);
    }
    const first = this.#first.get(life);
    if (first === undefined) this.#first.set(life, { at, virtual: now });
    else if (at < first.at + (now - first.virtual) - SLACK_MS) {
      const elapsed = (now - first.virtual).toFixed(1);
      const detail = `only ${at - first.at} ms passed in ${elapsed} ms`;
      this.#ledger.fail("time runs, and forward", detail);
    }
    if (kept) this.#latest = Math.max(this.#latest, at);
  }
}
