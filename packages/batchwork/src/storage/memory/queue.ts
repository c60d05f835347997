/** One queue: its groups, the two lines in which they wait, and its dead letters. */
import type { SharedDefinition } from "../../core/definition.ts";
import type { BatchCaps } from "../../core/flush.ts";
import type { Throttle } from "../../core/throttle.ts";
import type { QueueClaim } from "../storage.ts";
import type { Batch } from "./batch.ts";
import { DeadLetters } from "./dead.ts";
import { Deliveries } from "./deliveries.ts";
import { Group, type Turn } from "./group.ts";
import { Finished } from "./history.ts";
import { Heap } from "./heap.ts";
import { Keys } from "./keys.ts";
import type { Pool } from "./pool.ts";
import { Pending } from "./pending.ts";
import { Results } from "./results.ts";

/** What the latest claim said about the queue's batches. */
export interface QueueCaps extends BatchCaps {
  readonly groupConcurrency: number;
}

/** Until the first claim nothing is full and no group is blocked. */
const NO_CAPS: QueueCaps = {
  maxSize: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  groupConcurrency: Number.POSITIVE_INFINITY,
};

export class Queue {
  readonly id: number;
  notify = false;
  paused = false;
  caps = NO_CAPS;
  /** What the latest claim said; `null` for no limit. */
  throttle: Throttle | null = null;
  readonly deliveries = new Deliveries();
  readonly groups = new Map<string, Group>();
  /** Groups with waiting items that no group limit blocks. */
  readonly seals = new Heap<Turn>();
  /** Groups with batches to be tried again that no group limit blocks. */
  readonly retries = new Heap<Turn>();
  /** Suspects that wait. Few: as many as crashed processes were running. */
  readonly suspects = new Set<Batch>();
  readonly dead = new DeadLetters();
  readonly keys = new Keys();
  readonly results = new Results();
  readonly finished = new Finished();
  /** Its tasks, where it is a pool. */
  pool: Pool | null = null;
  readonly pending = new Pending();
  /** What processes have agreed on; `null` while nobody proposed anything. */
  definition: SharedDefinition | null = null;
  /** Groups that were empty when last touched. */
  readonly idle: Group[] = [];
  /** Batches that wait, suspects included. */
  ready = 0;
  leased = 0;
  #order = 0;

  constructor(id: number) {
    this.id = id;
  }

  group(name: string): Group {
    let group = this.groups.get(name);
    if (group === undefined) {
      group = new Group(this, name);
      this.groups.set(name, group);
    }
    return group;
  }

  /** Decides between groups that became claimable at the same time: first come, first served. */
  nextOrder(): number {
    return ++this.#order;
  }

  /** How many batches may be handed over now. */
  room(now: number): number {
    return this.throttle === null ? Infinity : this.deliveries.room(this.throttle, now);
  }

  /** When the throttle lets a batch go again; `null` when it does now. */
  throttledUntil(now: number): number | null {
    return this.throttle === null ? null : this.deliveries.frees(this.throttle, now);
  }

  /** Takes over the caps of a claim. Every group is looked at only when they changed. */
  limit(claim: QueueClaim, now: number): void {
    this.throttle = claim.throttle ?? null;
    const { maxSize, maxBytes, groupConcurrency } = this.caps;
    if (
      claim.maxSize === maxSize &&
      claim.maxBytes === maxBytes &&
      claim.groupConcurrency === groupConcurrency
    ) {
      return;
    }
    this.caps = {
      maxSize: claim.maxSize,
      maxBytes: claim.maxBytes,
      groupConcurrency: claim.groupConcurrency,
    };
    for (const group of this.groups.values()) group.reconsider(now);
  }

  /** Forgets up to `most` groups that hold nothing. */
  forgetIdle(most: number): void {
    for (let n = 0; n < most; n++) {
      const group = this.idle.pop();
      if (group === undefined) return;
      group.idle = false;
      if (group.empty) this.groups.delete(group.name);
    }
  }
}
