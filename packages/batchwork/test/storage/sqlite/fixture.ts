/** A folder with a SQLite database for one test, and short words for what is done with it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { onTestFinished } from "vitest";

import { joinItems } from "../../../src/core/codec.ts";
import type { Lease } from "../../../src/core/lease.ts";
import type { Outcome } from "../../../src/core/settle.ts";
import {
  sqlite,
  type SqliteOptions,
  type SqliteStorage,
} from "../../../src/storage/sqlite/index.ts";
import type { ClaimedBatch, NewChunk, QueueClaim } from "../../../src/storage/storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";

export const DONE: Outcome = { kind: "done" };

/** One database file that goes away with the test. */
export class Folder {
  readonly path: string;
  readonly clock = new ManualClock();
  readonly #closers: (() => unknown)[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<Folder> {
    const folder = await mkdtemp(join(tmpdir(), "batchwork-sqlite-"));
    const made = new Folder(join(folder, "work.db"));
    onTestFinished(async () => {
      for (const close of made.#closers.toReversed()) await close();
      await rm(folder, { recursive: true, force: true });
    });
    return made;
  }

  /** A storage on the file, or on what the options say; not opened yet. */
  storage(options?: SqliteOptions): SqliteStorage {
    const storage = sqlite(options ?? { path: this.path });
    this.#closers.push(async () => storage.close());
    return storage;
  }

  /** An open storage with one queue and one incarnation. */
  async desk(options?: SqliteOptions): Promise<Desk> {
    const storage = this.storage(options);
    await storage.open({ clock: this.clock });
    return Desk.at(storage);
  }

  /** A plain handle on the file, as the user's code would have one. */
  handle(path = this.path): DatabaseSync {
    const handle = new DatabaseSync(path);
    this.#closers.push(() => {
      if (handle.isOpen) handle.close();
    });
    return handle;
  }

  /** One number from the file, as another connection sees it. */
  number(sql: string): number {
    const handle = new DatabaseSync(this.path, { readOnly: true });
    try {
      return Number(Object.values(handle.prepare(sql).get() as Record<string, unknown>)[0]);
    } finally {
      handle.close();
    }
  }
}

/** A storage with a queue and an incarnation to work with. */
export class Desk {
  readonly storage: SqliteStorage;
  readonly queue: number;
  readonly incarnation: number;

  private constructor(storage: SqliteStorage, queue: number, incarnation: number) {
    this.storage = storage;
    this.queue = queue;
    this.incarnation = incarnation;
  }

  static async at(storage: SqliteStorage): Promise<Desk> {
    const [info] = await storage.define([{ name: "orders", notify: false }]);
    const incarnation = await storage.enroll(60_000);
    return new Desk(storage, (info as { readonly id: number }).id, incarnation);
  }

  chunk(items: readonly unknown[], group = ""): NewChunk {
    const texts = items.map((item) => JSON.stringify(item));
    let bytes = 0;
    for (const text of texts) bytes += Buffer.byteLength(text);
    const { queue } = this;
    return { queue, group, count: items.length, bytes, payload: joinItems(texts), dueInMs: 0 };
  }

  async add(...items: readonly unknown[]): Promise<void> {
    await this.storage.append([this.chunk(items)]);
  }

  async claim(claim: Partial<QueueClaim> = {}): Promise<readonly ClaimedBatch[]> {
    const caps = { maxSize: 10, maxBytes: Infinity, groupConcurrency: Infinity, limit: 100 };
    const { claimed } = await this.storage.exchange({
      incarnation: this.incarnation,
      settlements: [],
      claims: [{ queue: this.queue, ...caps, ...claim }],
      alone: false,
    });
    return claimed;
  }

  async claimOne(claim?: Partial<QueueClaim>): Promise<ClaimedBatch> {
    const [batch] = await this.claim(claim);
    if (batch === undefined) throw new Error("Nothing is claimable.");
    return batch;
  }

  async settle(lease: Lease, outcome: Outcome = DONE): Promise<"settled" | "lost"> {
    const { incarnation } = this;
    const settlements = [{ batch: lease.batch, token: lease.token, outcome }];
    const request = { incarnation, settlements, claims: [], alone: false };
    const [answer] = (await this.storage.exchange(request)).settled;
    return answer as "settled" | "lost";
  }

  async waiting(): Promise<number> {
    return (await this.storage.counts(this.queue, null)).waiting;
  }
}

/** The items of batches, in order. */
export function contents(batches: readonly ClaimedBatch[]): unknown[] {
  return batches.flatMap(({ payloads }) =>
    payloads.flatMap((payload) => JSON.parse(`[${payload as string}]`) as unknown[]),
  );
}
