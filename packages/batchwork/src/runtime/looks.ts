/** When this process looks at the storage next, and when it tells the others to look. */
import type { Exchanged, Storage } from "../storage/storage.ts";
import type { LandedChunk } from "./open-chunk.ts";
import type { Queue } from "./queue.ts";
import type { Surroundings } from "./surroundings.ts";
import { Others } from "./wake-others.ts";
import { Wake } from "./wake.ts";

/** How much earlier than `tickIntervalMs` a look may come, so that processes look apart. */
const TICK_JITTER = 0.2;

/** How much longer an idle process waits where each look crosses a network. */
const REMOTE_IDLE = 2.5;

export class Looks {
  readonly #around: Surroundings;
  readonly #wake: Wake;
  readonly #others: Others;
  readonly #idle: number;

  /** `look` looks once. */
  constructor(storage: Storage, around: Surroundings, look: () => void) {
    this.#around = around;
    this.#wake = new Wake(around.clock, look);
    this.#others = new Others(storage, around, this.#wake);
    this.#idle = storage.announce === undefined ? 1 : REMOTE_IDLE;
  }

  /** Here, once the current turn of the event loop is over. */
  now(): void {
    this.#wake.now();
  }

  /** Here, in `ms` at the latest. */
  within(ms: number): void {
    this.#wake.within(ms);
  }

  /** Everywhere else, soon. */
  elsewhere(): void {
    this.#others.tell();
  }

  /** Another process told. */
  heard(ms: number): void {
    this.#others.heard(ms);
  }

  /**
   * What this process committed: at once when a group is full, else when it is due; by others,
   * where nobody here has a hand free for it.
   */
  committed(chunks: readonly LandedChunk[], started: boolean): void {
    const { clock, pollMs } = this.#around;
    const now = clock.monotonicMs();
    let within = Number.POSITIVE_INFINITY;
    for (const { queue: given, group, count, bytes } of chunks) {
      const queue = given as Queue;
      const { waiting, unsureUntil, maxWaitMs } = queue;
      const busy = !started || queue.running >= queue.concurrency;
      if (busy) this.#others.committed(queue, group, count, bytes);
      // A process that only adds counts nothing: it has nothing to look for.
      if (!started) continue;
      if (waiting.add(group, count, bytes)) this.#wake.now();
      within = Math.min(within, now < unsureUntil ? pollMs : maxWaitMs);
    }
    if (started) this.#wake.within(within);
  }

  /** A transaction of somebody else's added to the queue; whether it commits is not known yet. */
  committing(queue: Queue): void {
    const dueBy = this.#around.clock.monotonicMs() + queue.maxWaitMs;
    queue.unsureUntil = Math.max(queue.unsureUntil, dueBy);
    this.#wake.now();
    this.#others.committing(queue);
  }

  /** After a look. */
  answered(exchanged: Exchanged): void {
    const { clock, tickIntervalMs } = this.#around;
    const idle = exchanged.claimed.length === 0 && exchanged.settled.length === 0;
    const mostMs = tickIntervalMs * (idle ? this.#idle : 1);
    const tickMs = Math.ceil(mostMs * (1 - TICK_JITTER * clock.random()));
    this.#wake.within(Math.min(tickMs, untilNext(exchanged)));
    if (exchanged.more) this.#others.tell();
  }

  stop(): void {
    this.#wake.stop();
    this.#others.stop();
  }
}

/** How long until something may be claimable that is not now, ms. */
function untilNext({ more, nextAt, now }: Exchanged): number {
  if (nextAt !== null && nextAt > now) return nextAt - now;
  // What is claimable now and was not claimed waits for a slot, and a freed slot wakes the loop.
  return more || nextAt === null ? Number.POSITIVE_INFINITY : 1;
}
