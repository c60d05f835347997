/** Tasks of pools move from SQLite to PostgreSQL with everything else. */
import { expect, onTestFinished, test } from "vitest";

import { joinItems } from "../../../src/core/codec.ts";
import { laneName } from "../../../src/core/lane.ts";
import { promote } from "../../../src/promote/promote.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import type { ClaimedSlice } from "../../../src/storage/pools.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { Folder } from "../sqlite/fixture.ts";
import { chunkOf } from "./fixture.ts";
import { timed } from "./promote-fixture.ts";

const LEASE_MS = 60_000;
const LATER_MS = 3_600_000;

describePostgres("promote moves tasks", () => {
  const { pool } = testDatabase();

  test("those that wait, wait longer, are suspects or ended, and the settings", async () => {
    const { path, clock } = await Folder.make();
    const from = sqlite({ path });
    await from.open({ clock });
    const queue = await defined(from);
    const group = laneName({ priority: 2, serialKey: "k" });
    // 1: seen by no claim when it moves; 2 to 4 as their names say.
    const seen = [chunkOf(queue, ["a", "b", "c"], group), chunkOf(queue, ["s"], group)];
    await from.append(seen);
    const incarnation = await from.enroll(LEASE_MS);
    const [slice, suspect] = await claimed(from, incarnation, queue);
    expect(suspect?.indices).toEqual([0]);
    const settlement = {
      batch: slice?.batch as number,
      token: slice?.token as number,
      done: [0],
      values: joinItems(['"A"']),
      again: [{ indices: [2], attempt: 2, delayMs: LATER_MS }],
      dead: [],
      callbacks: { indices: [0], payload: '"told"' },
    };
    const settlements = [settlement];
    await from.pools.exchange({ incarnation, settlements, claims: [], alone: false });
    await from.pools.release([slice as ClaimedSlice]);
    await clock.advance(LEASE_MS + 1);
    await from.append([chunkOf(queue, ["fresh"], laneName({ priority: 0, serialKey: "" }))]);
    await from.close();

    const report = await promote({ from: sqlite({ path }), to: timed(pool, clock), clock });
    expect(report).toMatchObject({ queues: 2, items: 5 });
    const to = timed(pool, clock);
    await to.open({ clock });
    onTestFinished(async () => to.close());
    expect(await defined(to)).toBe(queue);
    const found = await to.pools.findTasks(queue, ["1:0", "1:1", "1:2", "2:0", "4:0"]);
    expect(found.map(({ status }) => status)).toEqual([
      "finished",
      "pending",
      "pending",
      "pending",
      "pending",
    ]);
    expect(found[0]).toMatchObject({ kind: "success", value: '"A"' });
    expect(found[2]).toMatchObject({ attempt: 2 });
    expect(await to.pools.counts(queue)).toMatchObject({
      parallelism: 9,
      waiting: 3,
      delayed: 1,
      suspects: 1,
    });
    const fresh = await to.enroll(LEASE_MS);
    const tasks = await claimed(to, fresh, queue);
    expect(tasks.map(({ payload }) => payload)).toEqual(['"fresh"', '"b"']);
    await to.pools.release(tasks);
    const alone = await claimed(to, fresh, queue, true);
    expect(alone.map(({ payload, alone: apart }) => [payload, apart])).toEqual([['"s"', true]]);
  });
});

async function defined(storage: Storage): Promise<number> {
  const names = ["tasks", "told"].map((name) => ({ name, notify: false }));
  const [queue, told] = await storage.define(names);
  const [id, callbacks] = [queue?.id as number, told?.id as number];
  await storage.pools.define([{ queue: id, callbacks, resultTtlMs: LATER_MS }]);
  if ((await storage.pools.parallelism(id)) === null) await storage.pools.setParallelism(id, 9);
  return id;
}

async function claimed(
  storage: Storage,
  incarnation: number,
  queue: number,
  alone = false,
): Promise<readonly ClaimedSlice[]> {
  const none = Number.POSITIVE_INFINITY;
  const caps = { limit: 100, maxBytes: none, maxParallelism: none, concurrencyPerKey: none };
  const claims = [{ queue, ...caps }];
  const request = { incarnation, settlements: [], claims, alone };
  return (await storage.pools.exchange(request)).claimed;
}
