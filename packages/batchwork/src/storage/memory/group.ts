/** One group of a queue: its waiting items, its batches, and its two turns in the queue. */
import { dueReason, type FlushReason, type Waiting } from "../../core/flush.ts";
import type { Batch } from "./batch.ts";
import { Heap, type HeapNode } from "./heap.ts";
import type { Queue } from "./queue.ts";
import { WaitingChunks } from "./waiting.ts";

/** A group's place in one of its queue's two lines: when it became, or will become, claimable. */
export class Turn implements HeapNode {
  at = 0;
  order = 0;
  index = -1;
  readonly group: Group;

  constructor(group: Group) {
    this.group = group;
  }
}

export class Group implements Waiting {
  readonly queue: Queue;
  readonly name: string;
  readonly waiting = new WaitingChunks();
  /** Keys of waiting items. */
  readonly heldKeys = new Set<string>();
  /** Sealed batches that wait for their next attempt, suspects aside. */
  readonly ready = new Heap<Batch>();
  /** Suspects of the group that wait. */
  suspects = 0;
  /** Leased batches. */
  active = 0;
  readonly sealTurn = new Turn(this);
  readonly retryTurn = new Turn(this);
  /** True while it is listed among those that may be forgotten. */
  idle = false;
  /** `flush()` asked for the chunks up to this id. */
  #flushedTo = 0;
  #flushedAt = 0;
  /** Since when the waiting items are due without a break. */
  #dueSince = Number.POSITIVE_INFINITY;
  #servedAt = Number.NEGATIVE_INFINITY;

  constructor(queue: Queue, name: string) {
    this.queue = queue;
    this.name = name;
  }

  get items(): number {
    return this.waiting.items;
  }

  get bytes(): number {
    return this.waiting.bytes;
  }

  get flushed(): boolean {
    return (this.waiting.first?.id ?? Number.POSITIVE_INFINITY) <= this.#flushedTo;
  }

  get dueAt(): number {
    return this.flushed ? Math.min(this.#flushedAt, this.waiting.dueAt) : this.waiting.dueAt;
  }

  get empty(): boolean {
    return this.items === 0 && this.ready.size === 0 && this.suspects === 0 && this.active === 0;
  }

  reason(now: number): FlushReason | null {
    return dueReason(this, this.queue.caps, now);
  }

  /** Makes everything that waits now due, up to the chunk `mark`. */
  flush(mark: number, now: number): void {
    if (this.items === 0) return;
    this.#flushedTo = mark;
    this.#flushedAt = now;
    this.requeue(now);
  }

  /** The caps changed: what was due need not be any more. */
  reconsider(now: number): void {
    this.#dueSince = Number.POSITIVE_INFINITY;
    this.requeue(now);
  }

  /** One batch of it was claimed: it goes behind everybody who waits. */
  served(now: number): void {
    this.queue.seals.remove(this.sealTurn);
    this.queue.retries.remove(this.retryTurn);
    this.#servedAt = now;
    this.reconsider(now);
  }

  /** Puts both turns where they belong after anything about the group changed. */
  requeue(now: number): void {
    const { queue } = this;
    const blocked = this.active >= queue.caps.groupConcurrency;
    const first = this.ready.peek();
    place(queue.retries, this.retryTurn, blocked || !first ? null : first.at, this.#servedAt);
    place(queue.seals, this.sealTurn, blocked ? null : this.#sealAt(now), this.#servedAt);
    if (!this.idle && this.empty) {
      this.idle = true;
      queue.idle.push(this);
    }
  }

  #sealAt(now: number): number | null {
    const reason = this.reason(now);
    if (this.items === 0) {
      this.#dueSince = Number.POSITIVE_INFINITY;
      return null;
    }
    if (reason === null) return this.dueAt;
    this.#dueSince = Math.min(this.#dueSince, reason === "time" ? this.dueAt : now);
    return this.#dueSince;
  }
}

function place(line: Heap<Turn>, turn: Turn, from: number | null, servedAt: number): void {
  if (from === null) {
    line.remove(turn);
    return;
  }
  const at = Math.max(from, servedAt);
  if (turn.index < 0) {
    turn.at = at;
    turn.order = turn.group.queue.nextOrder();
    line.push(turn);
  } else if (turn.at !== at) {
    turn.at = at;
    line.update(turn);
  }
}
