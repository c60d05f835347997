/** Storages on the file's own database, on the server's clock, and short words for requests. */
import type { Pool } from "pg";
import { onTestFinished } from "vitest";

import { joinItems, splitItems } from "../../../src/core/codec.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import type { ClaimedBatch, Exchange, NewChunk, Storage } from "../../../src/storage/storage.ts";

/** Leases that outlive every test. */
export const LEASE_MS = 600_000;

/** An open storage on the pool; closed after the test. */
export async function opened(pool: Pool): Promise<Storage> {
  const storage = postgres({ pool });
  onTestFinished(async () => storage.close());
  await storage.open({ clock: systemClock });
  return storage;
}

export async function queueOf(storage: Storage, name: string): Promise<number> {
  const [info] = await storage.define([{ name, notify: false }]);
  return (info as { readonly id: number }).id;
}

export function chunkOf(queue: number, items: readonly unknown[], group = ""): NewChunk {
  const texts = items.map((item) => JSON.stringify(item));
  const bytes = Buffer.byteLength(texts.join(""));
  return { queue, group, count: items.length, bytes, payload: joinItems(texts), dueInMs: 0 };
}

/** A claim of up to `limit` batches of ten. */
export function claimOf(incarnation: number, queue: number, limit = 1): Exchange {
  const maxBytes = Number.POSITIVE_INFINITY;
  const groupConcurrency = Number.POSITIVE_INFINITY;
  const claims = [{ queue, maxSize: 10, maxBytes, groupConcurrency, limit }];
  return { incarnation, settlements: [], claims, alone: false };
}

export function itemsOf({ payloads }: Pick<ClaimedBatch, "payloads">): unknown[] {
  return payloads.flatMap((payload) =>
    splitItems(payload as string).map((text): unknown => JSON.parse(text)),
  );
}

export function numbers(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}
