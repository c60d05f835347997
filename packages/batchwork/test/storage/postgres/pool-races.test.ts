/** Processes that claim, settle, cancel and give back the tasks of one pool at the same time. */
import { expect, test } from "vitest";

import { joinItems } from "../../../src/core/codec.ts";
import { laneName, laneOf } from "../../../src/core/lane.ts";
import type { ClaimedSlice, PoolClaim, TaskSettlement } from "../../../src/storage/pools.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { seededRandom } from "../../../src/testing/random.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { LEASE_MS, opened, queueOf } from "./fixture.ts";

const TASKS = 1200;
const MAX_PARALLELISM = 40;
const PER_KEY = 3;

describePostgres("processes that race for the tasks of a pool", () => {
  const { pool } = testDatabase();

  test("each task ends once, and no limit is ever exceeded", async () => {
    const storages = await Promise.all(Array.from({ length: 4 }, async () => opened(pool)));
    const [first] = storages as [Storage];
    const queue = await queueOf(first, "tasks");
    const told = await queueOf(first, "told");
    await first.pools.define([{ queue, callbacks: told, resultTtlMs: Number.POSITIVE_INFINITY }]);
    const ids = await enqueued(first, queue);
    const running = new Running();
    const ended = new Map<string, number>();
    const workers = storages.map(async (storage, n) => {
      const incarnation = await storage.enroll(LEASE_MS);
      const random = seededRandom(n);
      let held: readonly ClaimedSlice[] = [];
      let canceled = 0;
      for (let idle = 0; idle < 20;) {
        const settlements = held.map((slice) => settlement(slice, random));
        for (const slice of held) running.leave(slice);
        const claim = claimOf(queue, 1 + Math.floor(random() * 30));
        const request = { incarnation, settlements, claims: [claim], alone: false };
        const answer = await storage.pools.exchange(request);
        expect(answer.settled).not.toContain("lost");
        count(ended, settlements, answer.canceled, held);
        held = answer.claimed;
        idle = held.length === 0 ? idle + 1 : 0;
        for (const slice of held) running.enter(slice);
        if (random() < 0.2) {
          const some = Array.from({ length: 5 }, () => ids[Math.floor(random() * TASKS)] as string);
          const answers = await storage.pools.cancel(queue, some);
          for (const [k, one] of answers.entries()) {
            if (one !== "canceled" && one !== "canceling") continue;
            canceled++;
            add(ended, some[k] as string);
          }
        }
        if (random() < 0.1) {
          for (const slice of held) running.leave(slice);
          await storage.pools.release(held);
          held = [];
        }
      }
      return canceled;
    });
    const canceled = (await Promise.all(workers)).reduce((sum, n) => sum + n, 0);
    expect(canceled).toBeGreaterThan(0);
    expect([...ended.keys()].toSorted()).toEqual(ids.toSorted());
    expect(new Set(ended.values())).toEqual(new Set([1]));
    expect(running.most).toBeLessThanOrEqual(MAX_PARALLELISM);
    expect(running.mostOfKey).toBeLessThanOrEqual(PER_KEY);
    const { waiting, running: leased, dead } = await first.pools.counts(queue);
    expect([waiting, leased, dead]).toEqual([0, 0, 0]);
    const left = await pool.query(
      `SELECT (SELECT count(*) FROM batchwork.cancels)::int AS cancels,
        (SELECT coalesce(sum(count), 0)::int FROM batchwork.inbox WHERE queue = $1) AS told,
        (SELECT count(*) FROM batchwork.payloads)::int
          - (SELECT count(*) FROM batchwork.inbox)::int AS payloads`,
      [told],
    );
    expect(left.rows).toEqual([{ cancels: 0, told: TASKS, payloads: 0 }]);
  });
});

/** Tasks that processes hold: from when they know of it to when they are about to let go. */
class Running {
  most = 0;
  mostOfKey = 0;
  readonly #keys = new Map<string, number>();

  enter(slice: ClaimedSlice): void {
    this.#change(slice, slice.indices.length);
  }

  leave(slice: ClaimedSlice): void {
    this.#change(slice, -slice.indices.length);
  }

  #change({ lane }: ClaimedSlice, tasks: number): void {
    const { serialKey } = laneOf(lane);
    const key = (this.#keys.get(serialKey) ?? 0) + tasks;
    this.#keys.set(serialKey, key);
    const all = [...this.#keys.values()].reduce((sum, n) => sum + n, 0);
    this.most = Math.max(this.most, all);
    if (serialKey !== "") this.mostOfKey = Math.max(this.mostOfKey, key);
  }
}

async function enqueued(storage: Storage, queue: number): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < TASKS; n += 10) {
    const serialKey = n % 30 === 0 ? `k${n % 70}` : "";
    const payload = joinItems(Array.from({ length: 10 }, (_, k) => String(k)));
    const group = laneName({ priority: n % 20 === 0 ? 1 : 0, serialKey });
    const chunk = { queue, group, count: 10, bytes: 10, payload, dueInMs: 0 };
    const [appended] = await storage.append([chunk]);
    for (let k = 0; k < 10; k++) ids.push(`${appended?.id}:${k}`);
  }
  return ids;
}

function claimOf(queue: number, limit: number): PoolClaim {
  const maxBytes = Number.POSITIVE_INFINITY;
  return {
    queue,
    limit,
    maxBytes,
    maxParallelism: MAX_PARALLELISM,
    concurrencyPerKey: PER_KEY,
  };
}

/** Of some tasks another attempt is made, up to the third. */
function settlement(
  { batch, token, chunk, indices, attempt }: ClaimedSlice,
  random: () => number,
): TaskSettlement {
  const done = indices.filter(() => attempt >= 3 || random() < 0.8);
  const again = indices.filter((index) => !done.includes(index));
  const texts = done.map((index) => JSON.stringify(`${chunk}:${index}`));
  return {
    batch,
    token,
    done,
    values: null,
    again: again.length > 0 ? [{ indices: again, attempt: attempt + 1, delayMs: 0 }] : [],
    dead: [],
    callbacks: done.length > 0 ? { indices: done, payload: joinItems(texts) } : null,
  };
}

/** Notes the tasks that ended, less those that had been cancelled. */
function count(
  ended: Map<string, number>,
  settlements: readonly TaskSettlement[],
  canceled: readonly { readonly batch: number; readonly indices: readonly number[] }[],
  held: readonly ClaimedSlice[],
): void {
  for (const { batch, done } of settlements) {
    const slice = held.find((one) => one.batch === batch) as ClaimedSlice;
    const overruled = canceled.filter((one) => one.batch === batch);
    const gone = new Set(overruled.flatMap(({ indices }) => indices));
    for (const index of done) if (!gone.has(index)) add(ended, `${slice.chunk}:${index}`);
  }
}

function add(ended: Map<string, number>, id: string): void {
  ended.set(id, (ended.get(id) ?? 0) + 1);
}
