/**
 * One life of one process in one storage: it renews the process's leases, buries other lives that
 * have ended, and starts a new life when its own was declared over.
 */
import type { Timer } from "../core/clock.ts";
import type { Storage } from "../storage/storage.ts";
import { tellReaped, trouble } from "./observation.ts";
import type { Surroundings } from "./surroundings.ts";
import { Every } from "./wake.ts";

/** What the owner of an incarnation wants to hear of. */
export interface IncarnationEvents {
  /** The leases are gone: what runs no longer counts. */
  readonly died: () => void;
  /** Batches of others were released, or a new life began: there may be work. */
  readonly released: () => void;
  /** A beat has passed. */
  readonly beat: () => void;
}

/** A beat that failed is followed by one in so small a part of the time between two. */
const SOONER = 5;

export class Incarnation {
  /** Id in the storage; 0 before `begin`. */
  id = 0;
  readonly #storage: Storage;
  readonly #around: Surroundings;
  readonly #events: IncarnationEvents;
  readonly #every: Every;
  /** A beat in between, because a lease runs out before the next one. */
  #extra: Timer | undefined;
  #ended = false;
  /** The last beat failed. */
  #late = false;
  /** Lives of this process that count as dead, as long as nobody was told otherwise. */
  readonly #buried = new Set<number>();
  #beating: Promise<void> | undefined;

  constructor(storage: Storage, around: Surroundings, events: IncarnationEvents) {
    this.#storage = storage;
    this.#around = around;
    this.#events = events;
    this.#every = new Every(around.clock, around.heartbeatMs, async () => this.beat());
  }

  async begin(): Promise<void> {
    this.id = await this.#storage.enroll(this.#around.leaseMs);
    this.#every.start();
    // Work of an earlier life of this process may be waiting.
    await this.beat();
  }

  /** Renews, then buries. Never rejects: a storage that fails is asked again at the next beat. */
  async beat(): Promise<void> {
    this.#beating ??= this.#renewAndReap().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  /** Ends this life in good order: whatever it still holds is released, and nothing counts. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#every.stop();
    await this.#beating;
    this.#extra?.cancel();
    if (this.id === 0) return;
    const { logger } = this.#around;
    try {
      await this.#storage.retire(this.id);
    } catch (error) {
      logger.warn("Giving the leases back failed; they run out by themselves.", { error });
    }
  }

  async #renewAndReap(): Promise<void> {
    const { leaseMs, heartbeatMs, maxCrashes } = this.#around;
    let renewed = false;
    try {
      if (!(await this.#storage.heartbeat(this.id, leaseMs))) await this.#beginAgain();
      renewed = true;
      this.#late = false;
      await this.#absolve();
      const { incarnations, released, dead, nextInMs } = await this.#storage.reap(maxCrashes);
      tellReaped(this.#around, incarnations.length, released, dead);
      if (released > 0 || dead > 0) this.#events.released();
      this.#beatWithin(nextInMs);
    } catch (error) {
      trouble(this.#around, "warn", "A heartbeat failed; it is tried again.", { error });
      // The first time well before the lease runs out: the next beat may come too late for it.
      if (!this.#late && !renewed) this.#beatWithin(heartbeatMs / SOONER);
      this.#late = !renewed;
    }
    this.#events.beat();
  }

  /** The work of a process that died waits no longer than its lease. */
  #beatWithin(ms: number | null): void {
    const { clock, heartbeatMs } = this.#around;
    this.#extra?.cancel();
    if (this.#ended || ms === null || ms >= heartbeatMs) return;
    // A beat, not a burial alone: it renews first, so nobody buries themselves.
    this.#extra = clock.after(ms, () => void this.beat());
  }

  /** Others declared this life over, but here we are, only slow: a new life begins. */
  async #beginAgain(): Promise<void> {
    const { leaseMs, logger } = this.#around;
    const buried = this.id;
    logger.warn("This process was taken for dead; it lost its leases and goes on.", { buried });
    this.#events.died();
    this.#buried.add(buried);
    this.id = await this.#storage.enroll(leaseMs);
  }

  /** Being slow counts nothing. Said again at the next beat when the storage fails now. */
  async #absolve(): Promise<void> {
    for (const buried of this.#buried) {
      await this.#storage.absolve(buried);
      this.#buried.delete(buried);
      this.#events.released();
    }
  }
}
