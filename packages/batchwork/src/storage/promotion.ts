/**
 * Moving everything unfinished from one storage to another, for `promote`: what a storage offers
 * that can be moved away from, or moved to. Rows mean the same on both sides, so that what was read
 * can be compared with what has arrived. Times are relative to storage time, ms; dates of record
 * (`sealedAt`, `diedAt`) are kept as they are.
 */
import type { Clock } from "../core/clock.ts";

/** Rows of each part, in an order in which they can be written. Groups are named as stored. */
export interface PromotionRows {
  readonly queues: { readonly name: string; readonly paused: boolean; readonly notify: boolean };
  /** The items of a chunk of which something is neither done nor dead. */
  readonly payloads: {
    readonly chunk: number;
    readonly count: number;
    /** Items that are neither done nor dead. */
    readonly live: number;
    readonly data: string;
  };
  /** The items of a chunk, from an index to its end, that are in no batch yet. */
  readonly waiting: {
    readonly chunk: number;
    readonly queue: string;
    readonly group: string;
    readonly from: number;
    readonly count: number;
    readonly bytes: number;
    readonly dueInMs: number;
  };
  readonly batches: {
    readonly id: number;
    readonly queue: string;
    readonly group: string;
    readonly token: number;
    readonly settled: number | null;
    readonly attempt: number;
    readonly runInMs: number;
    readonly count: number;
    readonly bytes: number | null;
    readonly reason: string;
    readonly parent: number | null;
    readonly root: number | null;
    readonly firstChunk: number;
    readonly prepared: boolean;
    readonly suspect: boolean;
    readonly crashes: number;
    readonly sealedAt: number;
    readonly error: string | null;
    readonly members: readonly PromotedMember[];
  };
  readonly letters: {
    readonly id: number;
    readonly queue: string;
    readonly group: string;
    readonly item: string;
    readonly itemId: string;
    readonly error: string;
    readonly attempts: number;
    readonly crashes: number;
    readonly batch: number;
    readonly root: number;
    readonly diedAt: number;
    /** When `onDead` may be told; `null` when there is nobody to tell, or it was told. */
    readonly noticeInMs: number | null;
  };
  /** Idempotency keys that are held, also by items that ended. */
  readonly keys: {
    readonly queue: string;
    readonly key: string;
    readonly chunk: number;
    readonly index: number;
    readonly digest: string;
    /** How long it is held after its item ended; `null` for ever. */
    readonly ttlMs: number | null;
    /** Until when it is held; `null` until its item ended. */
    readonly expiresInMs: number | null;
  };
  /** Queues of tasks. */
  readonly pools: {
    readonly queue: string;
    /** The queue that is told when tasks end. */
    readonly callbacks: string | null;
    /** For how long results are kept; `null` for ever. */
    readonly resultTtlMs: number | null;
    readonly parallelism: number | null;
  };
  /** Tasks that are not over, of chunks that a claim has seen. */
  readonly slices: {
    readonly queue: string;
    readonly group: string;
    readonly chunk: number;
    readonly from: number;
    readonly count: number;
    /** Where they do not follow one another. */
    readonly indices: readonly number[] | null;
    readonly attempt: number;
    readonly runInMs: number;
    /** Of suspects. */
    readonly company: number | null;
    readonly crashes: number;
  };
  /** How tasks ended, as long as it is kept. */
  readonly tasks: {
    readonly queue: string;
    readonly chunk: number;
    readonly from: number;
    readonly ended: number;
    readonly indices: readonly number[] | null;
    readonly kind: string;
    readonly data: string | null;
    readonly error: string | null;
    readonly endedAt: number;
    readonly expiresInMs: number | null;
  };
  /** What became of items that were submitted, as long as it is kept. */
  readonly results: {
    readonly queue: string;
    readonly chunk: number;
    readonly index: number;
    readonly kind: string;
    readonly value: string | null;
    readonly error: string | null;
    readonly endedAt: number;
    /** How much longer it is kept; `null` for ever. */
    readonly expiresInMs: number | null;
  };
}

/**
 * Chunk, first index, count, the indices where they do not follow one another, and the ids where
 * they are not those of the places.
 */
export type PromotedMember = readonly [
  number,
  number,
  number,
  readonly number[] | null,
  readonly string[] | null,
];

export type PromotionPart = keyof PromotionRows;

/** The highest ids that were ever given out. */
export interface LastIds {
  readonly chunk: number;
  readonly batch: number;
  readonly letter: number;
}

/** What `promote` moved. */
export interface PromotionReport {
  readonly queues: number;
  /** Items that are neither done nor dead: waiting, and in batches. */
  readonly items: number;
  /** Batches that wait for an attempt. */
  readonly batches: number;
  /** Dead letters. */
  readonly dead: number;
  /** Idempotency keys that are held. */
  readonly keys: number;
  /** A fingerprint of all of it, whatever the order; the same was found on both sides. */
  readonly hash: string;
}

/** What an earlier promotion left in the source. */
export interface PromotionMark {
  /** `"moving"`: it is not known whether the target has committed. */
  readonly state: "moving" | "moved";
  readonly target: PromotionPlace;
}

/** A target: its own id, and its name for people. */
export interface PromotionPlace {
  readonly id: string;
  readonly name: string;
}

/** Can be moved away from. */
export interface PromotionOrigin {
  /**
   * Takes the source's write lock until `mark` or `close`. Throws `PROMOTE_SOURCE_BUSY` when a
   * process holds an unexpired lease, `STORAGE_BUSY` when the lock cannot be had.
   */
  promotionSource(clock: Clock): Promise<PromotionSource>;
}

export interface PromotionSource {
  /** Stays the same when the promotion is repeated after a crash. */
  readonly id: string;
  readonly found: PromotionMark | null;
  readonly last: LastIds;
  /** All rows of a part, in pages of bounded size. */
  pages<P extends PromotionPart>(part: P): Iterable<readonly PromotionRows[P][]>;
  /**
   * Durably: nobody writes to the source from here on, nor opens it. Gives the lock back.
   */
  markMoving(target: PromotionPlace): Promise<void>;
  /** Durably: the target is complete. */
  markMoved(target: PromotionPlace): Promise<void>;
  /** Takes `markMoving` back: the target has certainly not committed. */
  unmark(): Promise<void>;
  /** Rolls back what is not committed. */
  close(): Promise<void>;
}

/** Can be moved to. */
export interface PromotionDestination {
  promotionTarget(clock: Clock): Promise<PromotionTarget>;
}

export interface PromotionTarget {
  readonly place: PromotionPlace;
  /**
   * The report of a promotion from `source` that has committed, or `null`. Waits until one that is
   * under way has ended, so the answer is final; `STORAGE_BUSY` when it does not end in time.
   */
  find(source: string): Promise<PromotionReport | null>;
  /**
   * Runs `copy` in one transaction that nobody else sees anything of, nor adds to meanwhile.
   * Throws `PROMOTE_TARGET_USED`. When it throws, the commit may have happened: ask `find`.
   */
  receive(
    source: string,
    last: LastIds,
    copy: (writer: PromotionWriter) => Promise<PromotionReport>,
  ): Promise<PromotionReport>;
  close(): Promise<void>;
}

/** The transaction of `receive`. */
export interface PromotionWriter {
  write<P extends PromotionPart>(part: P, rows: readonly PromotionRows[P][]): Promise<void>;
  /** Called once when everything is written. */
  complete(): Promise<void>;
  /** All rows of a part as they are stored now, in pages of bounded size. */
  pages<P extends PromotionPart>(part: P): AsyncIterable<readonly PromotionRows[P][]>;
  /** Stores the report, for `find`. */
  conclude(report: PromotionReport): Promise<void>;
}
