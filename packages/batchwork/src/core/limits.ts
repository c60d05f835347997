/**
 * Every limit, with its unit in its name and the reason beside it. A limit on everything: whatever
 * has none is a way to run out of memory or to hold the write lock for seconds.
 */
export { ERROR_TEXT_MAX } from "./errors.ts";

// ── Items ────────────────────────────────────────────────────────────────────────────────────────

/** Bytes of one item as UTF-8 text. Larger things belong in a file or a blob, with its id here. */
export const ITEM_BYTES_MAX = 256 * 1024;

/** Values inside one item. Each takes two characters or more, so more would be too many bytes. */
export const ITEM_VALUES_MAX = ITEM_BYTES_MAX / 2;

/** Levels of nesting. Real data stays under 20; without a limit, deep data ends in a full stack. */
export const DEPTH_MAX = 64;

// ── Calls ────────────────────────────────────────────────────────────────────────────────────────

/** Items in one call. A call is one commit, which holds the write lock while it is written. */
export const CALL_ITEMS_MAX = 10_000;

/** Bytes of one call, for the same reason. */
export const CALL_BYTES_MAX = 4 * 1024 * 1024;

// ── Chunks ───────────────────────────────────────────────────────────────────────────────────────

/** Items in a chunk. A batch that takes a part of a chunk reads all of it, so chunks stay small. */
export const CHUNK_ITEMS_MAX = 500;

/** Bytes of a chunk, for the same reason. One item of the largest size always fits. */
export const CHUNK_BYTES_MAX = 256 * 1024;

/** Bytes of a payload that is kept in the chunk's own row; larger ones have a row to themselves. */
export const INLINE_PAYLOAD_BYTES_MAX = 4 * 1024;

/** The caps of one chunk. */
export interface ChunkCaps {
  /** Most items, at least 1. */
  readonly items: number;
  /** Most bytes. An item larger than this makes a chunk of its own. */
  readonly bytes: number;
}

/**
 * Where the chunk that begins at `from` ends (exclusive), given the bytes of each item. Always
 * takes at least one item while there is one.
 */
export function chunkEnd(sizes: readonly number[], from: number, caps: ChunkCaps): number {
  const last = Math.min(sizes.length, from + caps.items);
  let bytes = 0;
  let end = from;
  while (end < last) {
    bytes += sizes[end] as number;
    if (bytes > caps.bytes && end > from) break;
    end++;
  }
  return end;
}

// ── Names and keys ───────────────────────────────────────────────────────────────────────────────

/** Bytes of a batch's name. It is part of index keys, log lines and URLs. */
export const NAME_BYTES_MAX = 128;

/** What a name is made of: one byte each, and safe in a URL, a file name and a log line. */
export const NAME_PATTERN = /^[A-Za-z0-9_.:-]+$/;

/** True for a legal name. */
export function isName(text: string): boolean {
  return text.length <= NAME_BYTES_MAX && NAME_PATTERN.test(text);
}

/** Characters of a group key. Any string will do, also the empty one; it is part of index keys. */
export const GROUP_KEY_CHARACTERS_MAX = 512;

/** Characters of an idempotency key, for the same reason. */
export const IDEMPOTENCY_KEY_CHARACTERS_MAX = 512;

// ── Batches ──────────────────────────────────────────────────────────────────────────────────────

/** Items in a batch: all of them are in memory at once, as text and as values. */
export const BATCH_ITEMS_MAX = 100_000;

/** Batches that one process runs at a time, of one definition; each holds its items in memory. */
export const CONCURRENCY_MAX = 1000;

/** Tasks of a pool that run at a time, over all processes. Whoever wants more wants no limit. */
export const PARALLELISM_MAX = 1_000_000;

/** Tasks of a pool that one process runs at a time; each holds its arguments and a promise. */
export const TASKS_AT_ONCE_MAX = 100_000;

/** The last priority, and negative the first. Enough room to insert between any two. */
export const PRIORITY_MAX = 1_000_000;

/** Deliveries that a throttle allows in one span. Whoever wants more wants none. */
export const DELIVERIES_MAX = 1_000_000;

/** Retries of one item. Whoever wants more wants a monitor, not a queue. */
export const RETRIES_MAX = 10_000;

/** Crashes that a batch may cause while it runs alone. Each costs a restart of the process. */
export const CRASHES_MAX = 100;

/** Longest wait of any kind, ms: 365 days. Beyond it, a wrong unit is likelier than a wish. */
export const WAIT_MS_MAX = 365 * 24 * 60 * 60 * 1000;

/** Shortest lease, ms. A pause for garbage collection must not end it. */
export const LEASE_MS_MIN = 100;

/** Longest lease, ms: one day. A batch of a killed process waits as long. */
export const LEASE_MS_MAX = 24 * 60 * 60 * 1000;

/** Longest time between two looks at the storage, ms: one hour. */
export const LOOK_MS_MAX = 60 * 60 * 1000;

/** Tags of one definition. */
export const TAGS_MAX = 64;
