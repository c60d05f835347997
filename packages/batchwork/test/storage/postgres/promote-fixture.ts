/** A SQLite store with work in every state, and what becomes of a store's work. */
import { copyFileSync } from "node:fs";
import type pg from "pg";

import type { KeyedAppend } from "../../../src/core/keyed.ts";
import { itemIds } from "../../../src/core/members.ts";
import type { Outcome } from "../../../src/core/settle.ts";
import { PostgresStorage } from "../../../src/storage/postgres/storage.ts";
import type { FoundResult } from "../../../src/storage/results.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import type {
  ClaimedBatch,
  NewChunk,
  QueueClaim,
  QueueCounts,
  Storage,
} from "../../../src/storage/storage.ts";
import type { ManualClock } from "../../../src/testing/manual-clock.ts";
import { chunkOf, itemsOf, numbers } from "./fixture.ts";

const LEASE_MS = 60_000;
const ERROR = { name: "Error", message: 'no — "not" today' };

/** Longer than any delay that the store is made with. */
const LATER_MS = 10 * 60 * 60 * 1000;

const KEY_NAMES = ["forgotten", "done", "for ever", "waiting"] as const;

/** Ids of items, among them all that have results. */
const RESULT_IDS = numbers(16, 1).flatMap((chunk) => numbers(5).map((n) => `${chunk}:${n}`));

const QUEUES = ["orders", "mails", "empty"] as const;

/** The same time for a SQLite storage and a PostgreSQL one. */
export function timed(pool: pg.Pool, clock: ManualClock, schema = "batchwork"): PostgresStorage {
  const now = (): number => Math.floor(clock.wallMs());
  return new PostgresStorage({ source: { pool }, schema, durability: "full", now });
}

async function withStorage<T>(
  storage: Storage,
  clock: ManualClock,
  work: (storage: Storage) => Promise<T>,
): Promise<T> {
  await storage.open({ clock });
  try {
    return await work(storage);
  } finally {
    await storage.close();
  }
}

/** Fills a new file; nobody works on it any more when it is done. */
export async function fill(path: string, clock: ManualClock): Promise<void> {
  await withStorage(sqlite({ path }), clock, async (storage) => {
    const definitions = QUEUES.map((name) => ({ name, notify: name === "orders" }));
    const [orders, mails] = (await storage.define(definitions)).map(({ id }) => id) as [
      number,
      number,
    ];
    await suspects(storage, clock, orders);
    await retriesAndLetters(storage, orders);
    await clock.advance(LEASE_MS + 1);
    await keys(storage, clock, mails);
    // Text that is long, and not only ASCII; a group whose name no database stores as it is.
    const long = numbers(40).map((n) => `é\u0000 ${n} ${"ü".repeat(120)}`);
    await storage.append([chunkOf(mails, long, "\u0000 zero")]);
    await clock.advance(1);
    await storage.append([chunkOf(mails, [1, 2, 3])]);
    const late = { ...chunkOf(orders, ["late"], "later"), dueInMs: 3_600_000 };
    const flushed = { ...chunkOf(orders, ["flushed"], "flushed"), dueInMs: 3_600_000 };
    await storage.append([late, flushed]);
    await storage.makeDue(orders, "flushed");
    // Of these, duplicates are left out.
    const letters = "aabccdde".split("");
    const unique = { ...chunkOf(orders, letters, "unique"), dedupKeys: letters };
    await storage.append([{ ...unique, dueInMs: 3_600_000 }]);
    await storage.setPaused([mails], true);
  });
}

/** Keys of items that wait, that are done, and that were done too long ago. */
async function keys(storage: Storage, clock: ManualClock, queue: number): Promise<void> {
  const incarnation = await storage.enroll(LEASE_MS);
  const finish = async (): Promise<void> => {
    const { claimed } = await claim(storage, incarnation, { queue });
    const settlements = claimed.map(({ batch, token }) => {
      return { batch, token, outcome: { kind: "done" } as const };
    });
    await storage.exchange({ incarnation, settlements, claims: [], alone: false });
  };
  await storage.appendKeyed(keyed(queue, "forgotten", 1));
  await finish();
  await clock.advance(2);
  await storage.appendKeyed(keyed(queue, "done", LATER_MS));
  await storage.appendKeyed(keyed(queue, "for ever", Infinity));
  await finish();
  await storage.retire(incarnation);
  await storage.appendKeyed(keyed(queue, "waiting", LATER_MS));
}

/** One item with this key, which is its content too. */
function keyed(queue: number, key: string, keyTtlMs: number): KeyedAppend {
  const value = JSON.stringify(key);
  const item = { call: 0, chunk: 0, key, digest: key, value, bytes: value.length };
  return { chunks: [{ queue, group: "keyed", dueInMs: 0, keyTtlMs }], items: [item] };
}

/** Chunks that are sealed in part, done in part and dead in part; retries and halves. */
async function retriesAndLetters(storage: Storage, queue: number): Promise<void> {
  const incarnation = await storage.enroll(LEASE_MS);
  const settle = async (batch: ClaimedBatch, outcome: Outcome): Promise<void> => {
    const settlements = [{ batch: batch.batch, token: batch.token, outcome }];
    await storage.exchange({ incarnation, settlements, claims: [], alone: false });
  };
  const add = async (...chunks: NewChunk[]): Promise<void> => {
    await storage.append(chunks);
  };
  await add(chunkOf(queue, numbers(3, 100), "dying"));
  const [dying] = (await claim(storage, incarnation, { queue })).claimed as [ClaimedBatch];
  const dead = [0, 1, 2].map((position) => ({ position, error: ERROR }));
  await settle(dying, { kind: "split", children: [], dead, error: ERROR });
  await add(chunkOf(queue, numbers(10), "a"), chunkOf(queue, numbers(9, 10), "a"));
  const [done, halved, again] = (await claim(storage, incarnation, { queue, maxSize: 4, limit: 3 }))
    .claimed as [ClaimedBatch, ClaimedBatch, ClaimedBatch];
  // Of these items results are kept: for a while, for ever, and no longer.
  const kinds = ["success", "canceled", "success"] as const;
  const results = kinds.map((kind, n) => ({
    id: itemIds(done.members)[n] as string,
    kind,
    value: kind === "success" ? `"é ${n}\\u0000"` : null,
    error: kind === "success" ? null : ERROR,
    ttlMs: [LATER_MS, Number.POSITIVE_INFINITY, 0][n] as number,
  }));
  await settle(done, { kind: "done", results });
  await settle(halved, {
    kind: "split",
    children: [
      { positions: [0, 3], attempt: 2, delayMs: 1000, error: ERROR },
      { positions: [1], attempt: 1, delayMs: 0, error: ERROR },
    ],
    dead: [{ position: 2, error: { ...ERROR, code: "E", stack: "at\nhome" } }],
    error: ERROR,
  });
  // Three items in other places, and a new one.
  const ids = [...itemIds(again.members).slice(1).toReversed(), null];
  await storage.prepare(again, [{ ...chunkOf(queue, ["c", "b", "a", "new"]), ids }]);
  await settle(again, { kind: "again", attempt: 2, delayMs: 7_200_000, error: ERROR });
  // Of the letters, one batch was told of, and one is about to be told of again.
  const [told] = await storage.takeUnnotified([queue], 1, 30_000);
  await storage.acknowledgeDead([told?.id as number]);
  await storage.takeUnnotified([queue], 1, 30_000);
  await storage.retire(incarnation);
}

/** A batch that killed its process while alone, and one whose process died beside others. */
async function suspects(storage: Storage, clock: ManualClock, queue: number): Promise<void> {
  const first = await storage.enroll(LEASE_MS);
  await storage.append([chunkOf(queue, ["killer"], "killer")]);
  await claim(storage, first, { queue, limit: 1 });
  await clock.advance(LEASE_MS + 1);
  await storage.reap(3);
  const second = await storage.enroll(LEASE_MS);
  await claim(storage, second, { queue, alone: true });
  await clock.advance(LEASE_MS + 1);
  await storage.reap(3);
  // Nobody has declared this one dead yet.
  const third = await storage.enroll(LEASE_MS);
  await storage.append([chunkOf(queue, ["in hand", "too"], "hand")]);
  await claim(storage, third, { queue, limit: 1 });
}

interface Asked extends Partial<QueueClaim> {
  readonly queue: number;
  readonly alone?: boolean;
}

async function claim(
  storage: Storage,
  incarnation: number,
  { alone = false, ...asked }: Asked,
): ReturnType<Storage["exchange"]> {
  const caps = { maxSize: 500, maxBytes: Infinity, groupConcurrency: Infinity, limit: 100 };
  const claims = [{ ...caps, ...asked }];
  return storage.exchange({ incarnation, settlements: [], claims, alone });
}

/** What a claim hands over, as far as a handler or a process can tell. */
interface Delivery extends Omit<ClaimedBatch, Compared | "payloads" | "members" | "left"> {
  readonly batch: number | "new";
  readonly rootId: number | "new";
  readonly queue: string;
  readonly items: readonly unknown[];
  readonly ids: readonly string[];
  readonly whole: readonly boolean[];
}

/** Fields that are compared in another form. */
type Compared = "batch" | "rootId" | "queue";

function deliveryOf(queue: string, found: ClaimedBatch, since: number): Delivery {
  const { token, group, attempt, count, bytes, parentId, sealedAt, alone, prepared, members } =
    found;
  const told = { token, group, attempt, count, bytes, parentId, sealedAt, alone, prepared };
  // Which of several groups is sealed first is not promised.
  const isNew = found.sealedAt >= since;
  const { batch, rootId } = isNew ? ({ batch: "new", rootId: "new" } as const) : found;
  // What a flush made due is due by its time after a move.
  const reason = found.reason === "flush" ? "time" : found.reason;
  // Neighbours of items that were left out may come as one member or as several.
  const whole = [members.every((member) => member.whole)];
  const content = { items: itemsOf(found), ids: itemIds(members), whole };
  return { ...told, batch, rootId, queue, reason, ...content };
}

/** What {@link drained} finds. */
interface Drained {
  readonly paused: readonly boolean[];
  readonly counts: readonly QueueCounts[];
  readonly letters: readonly unknown[];
  /** For each key, the place of the item that holds it, if it is held. */
  readonly held: readonly unknown[];
  /** What is known of the first items. */
  readonly results: readonly FoundResult[];
  readonly told: { readonly now: readonly number[]; readonly soon: readonly number[] };
  readonly early: readonly Delivery[];
  readonly late: readonly Delivery[];
}

/** Everything that is left in a storage, handed over until nothing is, and the counts before. */
export async function drained(storage: Storage, clock: ManualClock): Promise<Drained> {
  return withStorage(storage, clock, async () => {
    const infos = await storage.define(QUEUES.map((name) => ({ name, notify: name === "orders" })));
    await storage.reap(3);
    const ids = infos.map(({ id }) => id);
    const paused = infos.map((info) => info.paused);
    const counts = [];
    const letters = [];
    for (const queue of ids) {
      const found = await storage.counts(queue, null);
      counts.push({ ...found, dueAt: found.dueAt === null ? null : found.dueAt - clock.wallMs() });
      const rows = await storage.deadLetters({ queue, group: null, after: 0, limit: 1000 });
      letters.push(...rows.map((row) => ({ ...row, queue: QUEUES[ids.indexOf(row.queue)] })));
    }
    const held = [];
    for (const key of KEY_NAMES) {
      const [answer] = await storage.appendKeyed(keyed(ids[1] as number, key, 1000));
      // A key that is held no longer stores its item, under an id that differs.
      if (answer?.kind === "stored") held.push(answer.places.filter(({ duplicate }) => duplicate));
    }
    const found = await Promise.all(
      ids.map(async (queue) => storage.findResults(queue, RESULT_IDS)),
    );
    const results = found.flat().filter(({ status }) => status === "finished");
    const now = await storage.takeUnnotified(ids, 100, 1000);
    await storage.setPaused(ids, false);
    const incarnation = await storage.enroll(2 * LATER_MS);
    const since = clock.wallMs();
    const early = await deliveries(storage, incarnation, ids, since);
    await clock.advance(LATER_MS);
    const late = await deliveries(storage, incarnation, ids, since);
    const soon = await storage.takeUnnotified(ids, 100, 1000);
    await storage.retire(incarnation);
    const told = { now: now.map(({ id }) => id), soon: soon.map(({ id }) => id) };
    return { paused, counts, letters, held, results, told, early, late };
  });
}

async function deliveries(
  storage: Storage,
  incarnation: number,
  ids: readonly number[],
  since: number,
): Promise<Delivery[]> {
  const found: Delivery[] = [];
  for (const [n, queue] of ids.entries()) {
    for (;;) {
      const { claimed } = await claim(storage, incarnation, { queue, alone: true });
      if (claimed.length === 0) break;
      found.push(...claimed.map((batch) => deliveryOf(QUEUES[n] as string, batch, since)));
      const settlements = claimed.map(({ batch, token }) => {
        return { batch, token, outcome: { kind: "done" } as const };
      });
      await storage.exchange({ incarnation, settlements, claims: [], alone: false });
    }
  }
  return found.toSorted((a, b) => ((a.ids[0] ?? "") < (b.ids[0] ?? "") ? -1 : 1));
}

/** A copy of the file as it is now. */
export function copyOf(path: string): string {
  const copy = path.replace(/\.db$/v, "-copy.db");
  copyFileSync(path, copy);
  return copy;
}
