/** Claiming from one queue: whose turn it is, and what it gets. */
import { nextToken } from "../../core/lease.ts";
import { packMembers, unpackMembers, type Member } from "../../core/members.ts";
import type { FlushReason } from "../../core/flush.ts";
import type { Throttle } from "../../core/throttle.ts";
import type { ClaimedBatch, QueueClaim } from "../storage.ts";
import { stateAfter, type BatchRow } from "./batches.ts";
import { groupName } from "../../core/group-name.ts";
import { adoptCaps, countChunks, Groups, type GroupRow } from "./groups.ts";
import { memberBytes, memberTexts } from "./payloads.ts";
import { capsOf, queueRow, type Caps } from "./queues.ts";
import { Sealer, type Sealed } from "./seal.ts";
import { noteDeliveries, roomOf, type Room } from "./throttle.ts";
import type { Transaction } from "./transaction.ts";

/** One of a queue's two lines: groups with retries, and groups with items to seal. */
interface Line {
  /** The first groups in line. */
  readonly next: (most: number) => GroupRow[];
  /** True when the group really is claimable; otherwise its row says when to look again. */
  readonly isClaimable: (group: GroupRow) => boolean;
  /** Claims one batch of a group that is claimable. */
  readonly serve: (group: GroupRow) => ClaimedBatch | null;
}

/** One claim on one queue. */
export class QueueClaimer {
  readonly #tx: Transaction;
  readonly #queue: number;
  readonly #owner: number;
  readonly #claimed: ClaimedBatch[];
  readonly #groups: Groups;
  readonly #sealer: Sealer;
  readonly #lines: readonly Line[];
  readonly #throttle: Throttle | undefined;
  #free: number;
  /** What the throttle leaves. */
  #room: Room;
  #delivered = 0;

  private constructor(
    tx: Transaction,
    claim: QueueClaim,
    caps: Caps,
    counted: number,
    claimer: Claimer,
  ) {
    this.#tx = tx;
    this.#queue = claim.queue;
    this.#throttle = claim.throttle;
    this.#room = roomOf(tx.sql, claim.queue, claim.throttle, tx.now);
    this.#free = Math.min(claim.limit, this.#room.left);
    this.#owner = claimer.incarnation;
    this.#claimed = claimer.claimed;
    this.#groups = new Groups(tx, claim.queue, caps, counted);
    this.#sealer = new Sealer(tx.sql, claim.queue, caps, counted);
    this.#lines = [
      {
        next: (most) => this.#groups.toRetry(most),
        isClaimable: (group) => !this.#groups.isBlocked(group) && this.#groups.hasRetry(group),
        serve: (group) => this.#retry(group),
      },
      {
        next: (most) => this.#groups.toSeal(most),
        isClaimable: (group) =>
          !this.#groups.isBlocked(group) && this.#groups.dueReason(group) !== null,
        serve: (group) => this.#seal(group),
      },
    ];
  }

  /** Brings the groups up to date with what was appended. `null` for a paused queue. */
  static start(tx: Transaction, claim: QueueClaim, claimer: Claimer): QueueClaimer | null {
    const queue = queueRow(tx.sql, claim.queue);
    if (queue.paused === 1) return null;
    const caps = capsOf(claim);
    const counted = countChunks(tx, queue, caps);
    adoptCaps(tx, queue, caps);
    return new QueueClaimer(tx, claim, caps, counted, claimer);
  }

  /** Claims up to the limit. True when more could have been claimed without it. */
  claim(): boolean {
    for (const line of this.#lines) while (this.#serveLine(line));
    noteDeliveries(this.#tx, this.#queue, this.#throttle, this.#delivered);
    this.#room = roomOf(this.#tx.sql, this.#queue, this.#throttle, this.#tx.now);
    if (this.#free > 0 || this.#room.left === 0) return false;
    return this.#lines.some((line) => this.#isAnyClaimable(line));
  }

  /** Claims this very batch, a suspect, for a process that runs nothing else. */
  claimSuspect(batch: BatchRow): void {
    const group = this.#groups.byId(batch.grp);
    this.#claimed.push(this.#lease(group, batch));
    this.#groups.save(group);
  }

  /** Nothing is to be claimed any more. */
  stop(): void {
    this.#free = 0;
  }

  /** When something may be claimable that is not now. */
  nextLookAt(): number | null {
    const next = this.#groups.nextLookAt();
    const { freesAt } = this.#room;
    if (freesAt === null) return next;
    if (this.#lines.some((line) => this.#isAnyClaimable(line))) return freesAt;
    return next === null ? null : Math.max(next, freesAt);
  }

  /** When the throttle lets a batch go again; `null` when it does now. */
  get throttledUntil(): number | null {
    return this.#room.freesAt;
  }

  /** Serves the first groups in line once each, and goes round when nobody stands behind them. */
  #serveLine(line: Line): boolean {
    if (this.#free === 0) return false;
    const groups = line.next(this.#free);
    const everybody = groups.length < this.#free;
    let round = groups;
    do {
      round = round.filter((group) => this.#free > 0 && this.#serve(line, group));
    } while (everybody && this.#free > 0 && round.length > 0);
    for (const group of groups) this.#groups.save(group);
    return !everybody;
  }

  /** True when the group got a batch. */
  #serve(line: Line, group: GroupRow): boolean {
    if (!line.isClaimable(group)) return false;
    const batch = line.serve(group);
    if (batch === null) return false;
    this.#claimed.push(batch);
    this.#free--;
    return true;
  }

  /** Looks behind what was served. Times that were too early are put right on the way. */
  #isAnyClaimable(line: Line): boolean {
    for (;;) {
      const [group] = line.next(1);
      if (group === undefined) return false;
      if (line.isClaimable(group)) return true;
      this.#groups.save(group);
    }
  }

  #retry(group: GroupRow): ClaimedBatch {
    const batch = this.#tx.sql.firstReady.get(this.#queue, group.id) as BatchRow;
    group.ready--;
    return this.#lease(group, batch);
  }

  /** Leases a batch that was sealed before. */
  #lease(group: GroupRow, batch: BatchRow): ClaimedBatch {
    this.#delivered++;
    const { sql, now } = this.#tx;
    const { id, suspect } = batch;
    const token = nextToken(batch.token);
    sql.leaseBatch.run(stateAfter(batch.state, "claim"), token, this.#owner, now, suspect, id);
    this.#groups.served(group);
    const members = unpackMembers(batch.members as string);
    const texts = memberTexts(sql, members);
    return {
      batch: id,
      token,
      queue: this.#queue,
      group: groupName(group.grp),
      attempt: batch.attempt,
      count: batch.count,
      bytes: batch.bytes ?? memberBytes(members, texts),
      members,
      payloads: texts,
      reason: batch.reason as FlushReason,
      parentId: batch.parent,
      rootId: batch.root ?? id,
      sealedAt: batch.sealed_at,
      alone: suspect === 1,
      prepared: batch.prepared === 1,
      left: group.items,
    };
  }

  /** Seals the group's next batch and leases it at once. */
  #seal(group: GroupRow): ClaimedBatch | null {
    // Asked before: the group is due.
    const reason = this.#groups.dueReason(group) as FlushReason;
    const sealed = this.#sealer.seal(group, reason);
    if (sealed === null) {
      group.wake_at = null;
      return null;
    }
    this.#delivered++;
    const token = nextToken(0);
    const id = this.#insert(group, sealed, token);
    this.#groups.served(group);
    const { members, texts, count, bytes } = sealed;
    return {
      batch: id,
      token,
      queue: this.#queue,
      group: groupName(group.grp),
      attempt: 1,
      count,
      bytes,
      members,
      payloads: texts,
      reason,
      parentId: null,
      rootId: id,
      sealedAt: this.#tx.now,
      alone: false,
      prepared: false,
      left: group.items,
    };
  }

  #insert(group: GroupRow, sealed: Sealed, token: number): number {
    const { sql, now } = this.#tx;
    const { members, count, bytes, keyed, reason } = sealed;
    const { lastInsertRowid } = sql.insertSealed.run(
      this.#queue,
      group.id,
      stateAfter(null, "seal"),
      token,
      this.#owner,
      now,
      count,
      bytes,
      packMembers(members),
      reason,
      (members[0] as Member).chunk,
      keyed,
      now,
      now,
    );
    return Number(lastInsertRowid);
  }
}

/** Who claims, and what it has got so far. */
export interface Claimer {
  readonly incarnation: number;
  readonly claimed: ClaimedBatch[];
}
