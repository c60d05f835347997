/** What the ledger remembers: its own account of the storage, told from outside. */
import type { QueueClaim } from "../../packages/batchwork/src/storage/storage.ts";

/** One item, from its commit on. Texts are unique, because every item has a number of its own. */
export interface ItemRecord {
  readonly uid: number;
  readonly text: string;
  readonly bytes: number;
  readonly queue: number;
  readonly group: string;
  /** The life that added it. */
  readonly by: number;
  /** The id that `add` returned; `null` after a redrive, until it is seen again. */
  id: string | null;
  state: "waiting" | "sealed" | "done" | "dead" | "discarded" | "left out";
  /** The key of `deduplicateBy`; none after a redrive. */
  dedupKey: string | null;
  /** Storage time at which it is due; `-Infinity` when it was put back from the dead. */
  dueAt: number;
  flushed: boolean;
  /** The id that `add` returned, whatever it is called since. */
  readonly firstId: string;
  /** True when its first attempt has ended. */
  attempted: boolean;
  /** Attempts that have ended, and how often it was done or dead. */
  ends: number;
  finishes: number;
  deaths: number;
  /** True when `onDead` was told of it. */
  told: boolean;
}

/** One batch. A child of a split has no id until it is first claimed. */
export interface BatchRecord {
  id: number | null;
  readonly queue: number;
  readonly group: string;
  items: readonly ItemRecord[];
  /** True when a hook has had its say about the items. */
  prepared: boolean;
  readonly parent: BatchRecord | null;
  readonly children: BatchRecord[];
  state: "ready" | "leased" | "done";
  attempt: number;
  /** The largest token it was ever claimed with. */
  token: number;
  /** Who owns it now. */
  grant: Grant | null;
  /** Storage time before which it must not be claimed, and from which on it may be. */
  readyFrom: number;
  readyBy: number;
  /** Owners that were declared dead while they ran it alone, but for those who came back. */
  crashes: number;
  /** Whether its last owner was declared dead while it ran this. */
  suspect: boolean;
  /** Whose death was held against it last. */
  heldAgainst: { readonly incarnation: number; readonly alone: boolean } | null;
}

/** One claim that was handed out. Its number stands for it, whatever token the storage gave it. */
export interface Grant {
  readonly number: number;
  readonly batch: BatchRecord;
  /** The storage's own token. */
  readonly token: number;
  readonly incarnation: number;
  /** The life of the process that got it. */
  readonly life: number;
  readonly attempt: number;
  readonly alone: boolean;
  /** Virtual time of the claim. */
  readonly at: number;
  /** True once an attempt was settled under it. */
  settled: boolean;
  /** What the handler did under it; `undefined` until it starts. */
  delivery: Delivery | undefined;
}

/** What a handler did with a batch, noted by the world that plays the handlers. */
export interface Delivery {
  readonly startedAt: number;
  endedAt: number | null;
  /** Positions given to `ctx.fail`. */
  readonly failed: Set<number>;
  end: "running" | "returned" | "threw";
  /** After this virtual time the engine may have called it a timeout. */
  readonly timesOutAt: number;
}

export interface GroupRecord {
  readonly queue: number;
  readonly name: string;
  /** In commit order. */
  waiting: ItemRecord[];
  leased: number;
  /** Batches that were sealed for others while this one was claimable and got none. */
  passedOver: number;
  /** Virtual time since which it is claimable and somebody has room for it; `null` when not. */
  claimableSince: number | null;
  /** Virtual time since which somebody could know so without a regular look; `null` when nobody. */
  knownSince: number | null;
}

export interface QueueRecord {
  readonly id: number;
  readonly name: string;
  paused: boolean;
  readonly groups: Map<string, GroupRecord>;
  /** Dead items, in order of death. */
  dead: ItemRecord[];
  leased: number;
  readonly policy: QueuePolicy;
  /** Storage times of the deliveries that a throttle still counts. */
  delivered: number[];
  /** The caps of the latest claim. */
  claim: QueueClaim | null;
}

/** What the definition says about failures. */
export interface QueuePolicy {
  readonly maxAttempts: number;
  readonly onFailure: "retry" | "bisect";
  readonly strategy: "exponential" | "fixed";
  readonly baseDelay: number;
  readonly maxDelay: number;
  readonly jitter: number;
  /** Effects of its items are written through `ctx.tx`, all of them. */
  readonly transactional: boolean;
  readonly timeout: number | undefined;
}

export interface IncarnationRecord {
  readonly id: number;
  readonly life: number;
  alive: boolean;
  /** Virtual time at which it was declared dead. */
  buriedAt: number | null;
  /** Bounds of the storage time at which it expires. */
  expiresFrom: number;
  expiresBy: number;
}
