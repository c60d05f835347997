/**
 * The page on OqronKit's Batch, snippet by snippet, as it stands there: with `batch` of an engine
 * in place of the import, and time that the test moves. What a snippet calls of its reader's own
 * program notes what it was given.
 */
import { describe, expect, test } from "vitest";

import { Fixture, itemsOf, numbers, recorder, STORAGES } from "../runtime/fixture.ts";
import { Noted } from "./noted.ts";

interface AnalyticsEvent {
  readonly event: string;
  readonly userId: string;
  readonly path?: string;
}

describe.each(STORAGES)("the page's snippets on %s storage:", (kind) => {
  test("basic usage: full batches at once, the rest after ten seconds", async () => {
    const f = new Fixture(kind);
    const noted = new Noted();
    const db = { analyticsEvents: { insertMany: noted.fn("insertMany") } };
    const { batch: analytics } = await f.started((bw) =>
      bw.batch<AnalyticsEvent>({
        name: "analytics-flush",
        maxSize: 500, // Flush when 500 events accumulate
        maxWaitMs: 10_000, // Or every 10 seconds, whichever comes first

        handler: async (ctx) => {
          await db.analyticsEvents.insertMany(ctx.batch);
          return { flushed: ctx.batchSize };
        },
      }),
    );

    const requests = async (): Promise<void> => {
      await analytics.add({ event: "page.view", userId: "u_123", path: "/home" });
      await analytics.add({ event: "button.click", userId: "u_456", path: "/pricing" });
    };
    await f.run(requests());

    await f.advance(9999);
    expect(noted.calls).toEqual([]);
    await f.advance(1);
    expect(noted.calls).toEqual([
      [
        "insertMany",
        [
          { event: "page.view", userId: "u_123", path: "/home" },
          { event: "button.click", userId: "u_456", path: "/pricing" },
        ],
      ],
    ]);
    const many = numbers(500).map((n) => ({ event: "page.view", userId: `u_${n}` }));
    await f.run(analytics.addBulk(many));
    await f.advance(0);
    expect(noted.calls[1]).toEqual(["insertMany", many]);
  });

  test("adding items: one, and many", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<AnalyticsEvent>(f.clock);
    const { batch: analytics } = await f.started((bw) =>
      bw.batch<AnalyticsEvent>({ name: "analytics", maxSize: 4, maxWaitMs: 10_000, handler }),
    );
    const requests = async (): Promise<void> => {
      // Single item
      await analytics.add({ event: "page.view", userId: "u_123" });

      // Bulk add — each item is individually buffered and deduped
      await analytics.addBulk([
        { event: "page.view", userId: "u_1" },
        { event: "page.view", userId: "u_2" },
        { event: "page.view", userId: "u_3" },
      ]);
    };
    await f.run(requests());
    await f.advance(0);
    expect(deliveries.map(({ items }) => items.map(({ userId }) => userId))).toEqual([
      ["u_123", "u_1", "u_2", "u_3"],
    ]);
  });

  test("admin: flush, pause, resume, drain and the size of the buffer", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<{ tenant: string }>(f.clock);
    const { batch: analytics } = await f.started((bw) =>
      bw.batch<{ tenant: string }>({
        name: "analytics",
        maxSize: 500,
        maxWaitMs: 3_600_000,
        groupBy: (item) => item.tenant,
        handler,
      }),
    );
    const [acme, globex] = [{ tenant: "tenant-acme" }, { tenant: "tenant-globex" }];
    await f.run(analytics.addBulk([acme, globex, acme]));

    // Check buffer state
    expect(await f.run(analytics.getBufferSize())).toBe(3);
    expect(await f.run(analytics.getBufferSize("tenant-acme"))).toBe(2);

    // Flush a specific group
    await f.run(analytics.flush("tenant-acme"));
    expect(itemsOf(deliveries)).toEqual([acme, acme]);

    // Force-flush immediately (bypasses maxSize/maxWaitMs)
    await f.run(analytics.flush());
    expect(itemsOf(deliveries)).toEqual([acme, acme, globex]);

    // Pause/resume processing
    await f.run(analytics.pause());
    await f.run(analytics.add(globex));
    await f.advance(3_600_000);
    expect(deliveries).toHaveLength(2);
    await f.run(analytics.resume());
    await f.advance(1000);
    expect(deliveries).toHaveLength(3);

    // Gracefully drain: Waits for all active batch jobs to finish, then pauses.
    await f.run(analytics.add(acme));
    await f.run(analytics.drain());
    expect(deliveries).toHaveLength(4);
    expect(await f.run(analytics.status())).toMatchObject({ paused: true, waiting: 0 });
  });

  test("flush triggers: a buffer with one item flushes after maxWaitMs", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ name: "low-volume", maxSize: 100, maxWaitMs: 5000, handler }),
    );
    await f.run(batch.add(1));
    await f.advance(4999);
    expect(deliveries).toEqual([]);
    await f.advance(1);
    expect(itemsOf(deliveries)).toEqual([1]);
  });

  test("group by: each group flushes by itself, under its key", async () => {
    const noted = new Noted();
    const f = new Fixture(kind);
    const db = { sync: noted.fn("sync") };
    const { batch: tenantFlush } = await f.started((bw) =>
      // oxlint-disable-next-line typescript/no-explicit-any -- as on the page
      bw.batch<{ tenantId: string; data: any }>({
        name: "tenant-sync",
        maxSize: 100,
        maxWaitMs: 5_000,
        groupBy: (item) => item.tenantId,

        handler: async (ctx) => {
          // ctx.groupKey is the resolved group key ('acme', 'globex', etc.)
          // oxlint-disable-next-line typescript/no-non-null-assertion -- as on the page
          await db.sync(ctx.groupKey!, ctx.batch);
          return { synced: ctx.batchSize };
        },
      }),
    );

    const adding = async (): Promise<void> => {
      // These go into separate buffers
      await tenantFlush.add({ tenantId: "acme", data: { n: 1 } });
      await tenantFlush.add({ tenantId: "globex", data: { n: 2 } });
      await tenantFlush.add({ tenantId: "acme", data: { n: 3 } }); // Same group as first
    };
    await f.run(adding());
    await f.advance(5000);
    expect(noted.calls).toEqual([
      [
        "sync",
        "acme",
        [
          { tenantId: "acme", data: { n: 1 } },
          { tenantId: "acme", data: { n: 3 } },
        ],
      ],
      ["sync", "globex", [{ tenantId: "globex", data: { n: 2 } }]],
    ]);
  });

  test("deduplication: within a buffer window the first of each key stays, then the set resets", async () => {
    const f = new Fixture(kind);
    const noted = new Noted();
    const processUnique = noted.fn("processUnique");
    const { batch: events } = await f.started((bw) =>
      // oxlint-disable-next-line typescript/no-explicit-any -- as on the page
      bw.batch<{ eventId: string; payload: any }>({
        name: "dedup-events",
        maxSize: 200,
        maxWaitMs: 5_000,
        deduplicateBy: (item) => item.eventId, // Skip if same eventId already buffered

        handler: async (ctx) => {
          await processUnique(ctx.batch);
        },
      }),
    );
    const [first, again, other] = [
      { eventId: "e1", payload: 1 },
      { eventId: "e1", payload: 2 },
      { eventId: "e2", payload: 3 },
    ];
    await f.run(events.addBulk([first, again, other]));
    await f.advance(5000);
    expect(noted.calls).toEqual([["processUnique", [first, other]]]);
    await f.run(events.add(again));
    await f.advance(5000);
    expect(noted.calls[1]).toEqual(["processUnique", [again]]);
  });
});
