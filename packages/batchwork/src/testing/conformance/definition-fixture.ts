/** Short words for what processes agree on. */
import assert from "node:assert/strict";

import type { SharedSettings } from "../../core/definition.ts";
import { QueueFullError, type Amount, type PendingLimit } from "../../core/pending.ts";
import type { NewChunk, Storage } from "../../storage/storage.ts";
import type { Fixture, Into } from "./fixture.ts";

export const UNLIMITED = Number.POSITIVE_INFINITY;

/** What a definition says that says nothing. */
export const PLAIN: SharedSettings = {
  groupConcurrency: UNLIMITED,
  throttle: null,
  maxPending: null,
  completed: null,
  failed: null,
};

/** A queue whose definition has these settings. */
export async function definedQueue(
  t: Fixture,
  settings: Partial<SharedSettings>,
  name = "orders",
  notify = false,
): Promise<number> {
  const queue = await t.queue(name, notify);
  await t.storage.propose([{ queue, version: 1, settings: { ...PLAIN, ...settings } }]);
  return queue;
}

/** A limit on items alone. */
export function atMost(items: number): PendingLimit {
  return { items, bytes: UNLIMITED };
}

/** Appends the items as one chunk that has the limit. */
export async function addLimited(
  t: Fixture,
  queue: number,
  limit: PendingLimit,
  given: readonly unknown[],
  { storage = t.storage, ...into }: Into & { readonly storage?: Storage } = {},
): Promise<void> {
  await storage.append([limited(t, queue, limit, given, into)]);
}

export function limited(
  t: Fixture,
  queue: number,
  limit: PendingLimit,
  given: readonly unknown[],
  into: Into = {},
): NewChunk {
  return { ...t.chunk(queue, given, { dueInMs: 0, ...into }), limit };
}

/** Checks that the append is refused, and returns how much there was room for. */
export async function refused(append: Promise<unknown>): Promise<Amount> {
  let room: Amount | undefined;
  await assert.rejects(append, (error) => {
    if (!(error instanceof QueueFullError)) return false;
    ({ room } = error);
    return error.code === "QUEUE_FULL";
  });
  return room as Amount;
}

/** How many single items fit before one is refused; at most `most`. */
export async function fill(
  t: Fixture,
  queue: number,
  limit: PendingLimit,
  most: number,
  storage: Storage = t.storage,
): Promise<number> {
  for (let n = 0; n < most; n++) {
    try {
      await addLimited(t, queue, limit, [n], { storage });
    } catch (error) {
      assert.ok(error instanceof QueueFullError, String(error));
      return n;
    }
  }
  return most;
}
