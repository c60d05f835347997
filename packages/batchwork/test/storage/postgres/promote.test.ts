/** Everything unfinished moves from SQLite to PostgreSQL, once, and is what it was. */
import { expect, onTestFinished, test } from "vitest";

import { Batchwork, type Batch } from "../../../src/index.ts";
import { promote } from "../../../src/promote/promote.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { postgres } from "../../../src/storage/postgres/index.ts";
import { sqlite } from "../../../src/storage/sqlite/index.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";
import { describePostgres, testDatabase } from "../../postgres/database.ts";
import { Folder } from "../sqlite/fixture.ts";
import { chunkOf, numbers, queueOf } from "./fixture.ts";
import { copyOf, drained, fill, timed } from "./promote-fixture.ts";

const logger = { debug: noop, info: noop, warn: noop, error: noop };

function noop(): void {
  // The engine says when another process has its file; here that is what is tested.
}

describePostgres("promote", () => {
  const { pool } = testDatabase();

  test("hands over what was unfinished as if it had never moved", async () => {
    const { path, clock } = await Folder.make();
    await fill(path, clock);
    const copy = copyOf(path);
    const report = await promote({ from: sqlite({ path }), to: timed(pool, clock), clock });
    expect(report).toMatchObject({ queues: 3, items: 68, batches: 5, dead: 4, keys: 3 });
    expect(report.hash).toMatch(/^[0-9a-f]{32}$/v);

    const twin = new ManualClock({ startMs: clock.wallMs() });
    const expected = await drained(sqlite({ path: copy }), twin);
    const found = await drained(timed(pool, clock), clock);
    expect(found).toEqual(expected);
    // So that the comparison compares something.
    expect(found.counts[0]).toMatchObject({ waiting: 14, retrying: 5, dead: 4, leased: 0 });
    expect(found.counts[1]).toMatchObject({ paused: true, waiting: 44 });
    expect(found.held.flat()).toHaveLength(3);
    expect(found.results).toHaveLength(2);
    expect(found.early.filter(({ alone }) => alone)).toHaveLength(2);
    expect(found.late).toHaveLength(3);
  });

  test("answers the same when it is called again, and moves nothing to a second target", async () => {
    const { path, clock } = await Folder.make();
    await fill(path, clock);
    const from = sqlite({ path });
    const to = timed(pool, clock, "first");
    const report = await promote({ from, to, clock });
    expect(await promote({ from, to, clock })).toEqual(report);
    await expect(promote({ from, to: timed(pool, clock, "second"), clock })).rejects.toMatchObject({
      code: "STORAGE_MOVED",
      field: "from",
    });
  });

  test("gives ids out above those of the source, and a mark stands for what was moved", async () => {
    const { path, clock } = await Folder.make();
    await fill(path, clock);
    const to = timed(pool, clock, "ids");
    await promote({ from: sqlite({ path }), to, clock });
    const folder = sqlite({ path: copyOf(path) });
    await expect(folder.open({ clock })).rejects.toMatchObject({ code: "STORAGE_MOVED" });
    await to.open({ clock });
    onTestFinished(async () => to.close());
    const queue = await queueOf(to, "orders");
    const mark = await to.makeDue(queue, null);
    expect(await to.outstanding({ queue, group: null, mark, until: "finished" })).toBe(9);
    const [chunk] = await to.append([chunkOf(queue, ["new"])]);
    // What the file has given out, the deleted ones too.
    expect(mark).toBe(15);
    expect(chunk?.id).toBe(16);
    const incarnation = await to.enroll(60_000);
    const claims = [{ queue, ...CAPS }];
    const { claimed } = await to.exchange({ incarnation, settlements: [], claims, alone: false });
    const sealed = claimed.filter(({ sealedAt }) => sealedAt >= clock.wallMs());
    expect(sealed.length).toBeGreaterThan(0);
    for (const { batch } of sealed) expect(batch).toBeGreaterThan(10);
  });

  test("refuses whoever works on the file afterwards, also who had it open before", async () => {
    const { path, clock } = await Folder.make();
    await fill(path, clock);
    const early = sqlite({ path });
    await early.open({ clock });
    onTestFinished(async () => early.close());
    const queue = await queueOf(early, "orders");
    const to = timed(pool, clock, "place");
    await promote({ from: sqlite({ path }), to, clock });
    const message = expect.stringContaining('schema "place"') as unknown;
    const moved = { code: "STORAGE_MOVED", message };
    const refused: Promise<unknown>[] = [
      early.append([chunkOf(queue, ["lost"])]),
      early.enroll(1000),
      early.redrive(queue, "all"),
      early.discard(queue, "all"),
      early.setPaused([queue], true),
      early.define([{ name: "other", notify: false }]),
    ];
    for (const call of refused) await expect(call).rejects.toMatchObject(moved);
    await expect(sqlite({ path }).open({ clock })).rejects.toMatchObject(moved);
  });

  test("moves an engine's work, and each item is handled once", async () => {
    const folder = await Folder.make();
    const database = folder.handle();
    const items = numbers(1000);
    const before = engine(sqlite({ database }), noop);
    await before.batch.addBulk(items);
    await before.bw.stop();

    const to = (): Storage => postgres({ pool, schema: "engine" });
    const report = await promote({
      from: sqlite({ database }),
      to: postgres({ pool, schema: "engine" }),
    });
    expect(report).toMatchObject({ queues: 1, items: 1000 });

    const handled: number[] = [];
    const after = engine(to(), (found) => handled.push(...found));
    await after.bw.start();
    await after.batch.drain();
    await after.bw.stop();
    expect(handled.toSorted((a, b) => a - b)).toEqual(items);

    const again = engine(sqlite({ database }), noop);
    await expect(again.bw.start()).rejects.toMatchObject({ code: "STORAGE_MOVED" });
    await expect(again.batch.add(1)).rejects.toMatchObject({ code: "STORAGE_MOVED" });
    await again.bw.stop();
  });
});

const CAPS = { maxSize: 500, maxBytes: Infinity, groupConcurrency: Infinity, limit: 100 };

function engine(
  storage: Storage,
  handle: (items: readonly number[]) => unknown,
): { readonly bw: Batchwork; readonly batch: Batch<number> } {
  const bw = new Batchwork({ storage, clock: systemClock, logger });
  const batch = bw.batch<number>({
    name: "numbers",
    maxSize: 64,
    maxWaitMs: 10,
    groupBy: (n) => String(n % 3),
    handler: async (ctx) => {
      handle(ctx.batch);
    },
  });
  return { bw, batch };
}
