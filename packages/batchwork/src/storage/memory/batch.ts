/** One batch, and the edges of its life. */
import type { CrashRecord, Lease } from "../../core/lease.ts";
import { afterCrash, afterRevival, nextToken } from "../../core/lease.ts";
import type { FlushReason } from "../../core/flush.ts";
import type { Member } from "../../core/members.ts";
import { transition, type BatchEvent, type BatchState } from "../../core/transitions.ts";
import type { Group } from "./group.ts";
import type { HeapNode } from "./heap.ts";
import type { Chunk } from "./waiting.ts";

/** What is fixed when a batch comes into being. */
export interface Sealed {
  readonly group: Group;
  readonly members: readonly Member[];
  /** The chunk of each member. */
  readonly chunks: readonly Chunk[];
  readonly count: number;
  readonly bytes: number;
  readonly reason: FlushReason;
  readonly sealedAt: number;
  /** The first of the chunks whose items it was made of. */
  readonly firstChunk: number;
}

/** What a batch has from the one that its items were in before. */
export interface Origin {
  readonly id: number;
  readonly rootId: number;
  readonly prepared: boolean;
}

/** Who holds a batch. */
export interface Holding {
  readonly incarnation: number;
  readonly claimedAt: number;
  /** True when it was claimed as a suspect, with nothing beside it. */
  readonly alone: boolean;
}

export class Batch implements HeapNode {
  readonly id: number;
  /** Replaced at most once, when the batch is prepared. */
  content: Sealed;
  readonly parentId: number | null;
  readonly rootId: number;
  state: BatchState = "leased";
  token = 0;
  attempt = 1;
  /** True when the items are what `beforeFlush` made of them. */
  prepared: boolean;
  /** When the next attempt may start. */
  at = 0;
  /** Earlier batches first. */
  readonly order: number;
  index = -1;
  record: CrashRecord = { suspect: false, crashes: 0 };
  /** The incarnation whose death is held against the batch, and whether it ran alone then. */
  heldAgainst: Holding | null = null;
  holding: Holding | null = null;
  /** When it was handed over last. */
  claimedAt = 0;
  percent: number | null = null;
  note: string | null = null;
  /** The last token under which an attempt was settled, for callers that lost the reply. */
  settledToken: number | null = null;

  constructor(id: number, content: Sealed, parent: Origin | null) {
    this.id = id;
    this.order = id;
    this.content = content;
    this.parentId = parent === null ? null : parent.id;
    this.prepared = parent !== null && parent.prepared;
    this.rootId = parent === null ? id : parent.rootId;
  }

  /** True when `lease` is the one under which the batch runs now. */
  isLeasedUnder(lease: Lease): boolean {
    return this.state === "leased" && this.token === lease.token;
  }

  /** Hands the batch to an incarnation. A batch that was just sealed is leased already. */
  lease(incarnation: number, now: number): void {
    const { group } = this.content;
    if (this.state === "ready") {
      this.#leaveLine();
      this.#move("claim");
    }
    this.token = nextToken(this.token);
    this.holding = { incarnation, claimedAt: now, alone: this.record.suspect };
    this.claimedAt = now;
    this.percent = null;
    this.note = null;
    group.active++;
    group.queue.leased++;
  }

  /** Puts it in line for its next attempt, from `at` on. */
  wait(event: BatchEvent, at: number): void {
    if (this.state === "leased") this.#leaveLease();
    this.#move(event);
    this.#enterLine(at);
  }

  /** A child of a split: it was never leased. */
  waitFirst(at: number): void {
    this.state = "ready";
    this.#enterLine(at);
  }

  /** Nothing of it is left to do. */
  finish(): void {
    if (this.state === "leased") this.#leaveLease();
    else this.#leaveLine();
    this.#move("finish");
  }

  /** The owner died: the batch waits as a suspect. */
  crash(now: number): void {
    const { holding } = this;
    this.record = afterCrash(this.record, holding?.alone === true);
    this.wait("crash", now);
    this.heldAgainst = holding;
  }

  /** The owner turned out to be alive, and nobody has claimed the batch since. */
  forgive(): void {
    const { heldAgainst, at } = this;
    this.#leaveLine();
    this.record = afterRevival(this.record, heldAgainst?.alone === true);
    this.heldAgainst = null;
    this.#enterLine(at);
  }

  #move(event: BatchEvent): void {
    const next = transition(this.state, event);
    if (next === null) {
      throw new Error(`Batch ${this.id} is ${this.state}: no ${event} from there.`);
    }
    this.state = next;
  }

  #leaveLease(): void {
    const { group } = this.content;
    this.holding = null;
    group.active--;
    group.queue.leased--;
  }

  #enterLine(at: number): void {
    const { group } = this.content;
    this.at = at;
    group.queue.ready++;
    if (this.record.suspect) {
      group.queue.suspects.add(this);
      group.suspects++;
    } else {
      group.ready.push(this);
    }
  }

  #leaveLine(): void {
    const { group } = this.content;
    group.queue.ready--;
    if (group.queue.suspects.delete(this)) group.suspects--;
    else group.ready.remove(this);
  }
}
