/**
 * Who waits for what becomes of single items of one queue. What is settled in this process is told
 * at once; the rest is looked up, a part of it at a time and ever less often while nothing comes.
 */
import type { Clock } from "../core/clock.ts";
import { BatchworkError } from "../core/errors.ts";
import { itemIds } from "../core/members.ts";
import type { Outcome } from "../core/settle.ts";
import type { FinishedResult, FoundResult } from "../storage/results.ts";
import type { ClaimedBatch, Storage } from "../storage/storage.ts";
import { isPassing } from "./before-flush.ts";
import type { Queue } from "./queue.ts";

/** What a wait ends with; `null` where nothing is known of the item. */
export type Awaited = FinishedResult | null;

/** What it needs of the loop that serves the queue. */
export interface ResultSource {
  readonly storage: Storage;
  /** True once nothing will be settled here any more. */
  readonly stopped: boolean;
  /** Resolves when something progressed, or when it is time to ask for the `nth` time. */
  news(nth: number): Promise<void>;
}

/** Somebody who waits, until `end` is called. */
interface Waiter {
  readonly resolve: (found: Awaited) => void;
  readonly reject: (error: unknown) => void;
}

/** Items that one look asks for at most: those that were not asked for the longest. */
const ASKED_MAX = 500;

/** Shortest time between two looks, ms; whatever was settled here needs none. */
const LOOK_MS_MIN = 20;

export class ResultWaiters {
  readonly #queue: Queue;
  readonly #source: ResultSource;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<Waiter>>();
  #looking = false;

  constructor(queue: Queue, source: ResultSource, clock: Clock) {
    this.#queue = queue;
    this.#source = source;
    this.#clock = clock;
  }

  /** Resolves when the item has ended. Rejects with `STOPPED`, or with the signal's reason. */
  async wait(id: string, signal: AbortSignal): Promise<Awaited> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Awaited>();
    const waiter = { resolve, reject };
    const waiters = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiters.add(waiter));
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    void this.#look();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", abort);
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiting.get(id) === waiters) this.#waiting.delete(id);
    }
  }

  /** An outcome was stored by this process. */
  told({ members }: ClaimedBatch, outcome: Outcome): void {
    if (this.#waiting.size === 0 || outcome.kind === "again") return;
    const endedAt = this.#clock.wallMs();
    for (const { id, kind, value, error } of outcome.results ?? []) {
      this.#end(id, { status: "finished", kind, value, error, endedAt });
    }
    if (outcome.kind === "done" || outcome.dead.length === 0) return;
    const ids = itemIds(members);
    for (const { position, error } of outcome.dead) {
      const id = ids[position] as string;
      this.#end(id, { status: "finished", kind: "failed", value: null, error, endedAt });
    }
  }

  /** Looks for as long as anybody waits. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    let lookedAt = Number.NEGATIVE_INFINITY;
    for (let asked = 0; this.#waiting.size > 0;) {
      await this.#source.news(asked);
      if (this.#source.stopped) this.#stop();
      const now = this.#clock.monotonicMs();
      if (now - lookedAt < LOOK_MS_MIN) continue;
      lookedAt = now;
      asked = (await this.#found()) ? 0 : asked + 1;
    }
    this.#looking = false;
  }

  /** One look. Resolves with whether it was worth it. */
  async #found(): Promise<boolean> {
    const ids = [...this.#waiting.keys()].slice(0, ASKED_MAX);
    if (ids.length === 0) return false;
    let found: readonly FoundResult[];
    try {
      found = await this.#source.storage.findResults(this.#queue.id, ids);
    } catch (error) {
      // The storage may do better the next time.
      if (!isPassing(error)) this.#fail(error);
      return false;
    }
    let ended = false;
    for (const [n, one] of found.entries()) {
      const id = ids[n] as string;
      if (one.status === "pending") this.#putLast(id);
      else {
        ended = true;
        this.#end(id, one.status === "finished" ? one : null);
      }
    }
    return ended;
  }

  /** Asked for: others come first now. */
  #putLast(id: string): void {
    const waiters = this.#waiting.get(id);
    if (waiters === undefined) return;
    this.#waiting.delete(id);
    this.#waiting.set(id, waiters);
  }

  #end(id: string, found: Awaited): void {
    const waiters = this.#waiting.get(id);
    if (waiters === undefined) return;
    this.#waiting.delete(id);
    for (const { resolve } of waiters) resolve(found);
  }

  #stop(): void {
    const message =
      "The engine stopped while somebody waited for a result: the item goes on, and " +
      "result(id) tells what became of it.";
    this.#fail(new BatchworkError("STOPPED", message));
  }

  #fail(error: unknown): void {
    for (const waiters of this.#waiting.values()) for (const { reject } of waiters) reject(error);
    this.#waiting.clear();
  }
}
