import { describe, expect, test } from "vitest";

import type { OpenTable, TableStorage } from "../../src/storage/tables.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { Fixture, Hold } from "./fixture.ts";
import { statusOf } from "./iterator-fixture.ts";
import { define, INCREMENT, rowsIn, withRows, type Row } from "./iterator-rows.ts";

/** The storage with another way to open tables. */
function withTables(storage: Storage, tables: TableStorage): Storage {
  return new Proxy(storage, {
    get: (target, name) => {
      if (name === "tables") return tables;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

describe("the proof of coverage", () => {
  const proving = { ...define, coverage: true };

  test("says that every row was visited, range by range, when nothing changed", async () => {
    const f = new Fixture("sqlite");
    withRows(f, 12_000);
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({ ...proving, batchSize: 1000 }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    const { coverage } = await statusOf(f, iterator);
    expect(coverage).toMatchObject({
      proven: true,
      atStart: 12_000,
      visited: 12_000,
      atEnd: 12_000,
      missed: 0,
      late: 0,
      repeated: 0,
    });
    expect(coverage?.ranges.map(({ atStart, visited, same }) => [atStart, visited, same])).toEqual([
      [5000, 5000, true],
      [5000, 5000, true],
      [2000, 2000, true],
    ]);
  });

  test.each([1, 3])(
    "takes up rows that came behind the walk, and stays true, with %i partitions",
    async (partitions) => {
      const f = new Fixture("sqlite");
      const database = withRows(f, 60);
      const changed = new Set<number>();
      const reports: unknown[] = [];
      const { batch: iterator } = await f.started((bw) =>
        bw.iterator<Row>({
          ...proving,
          processBatch: async (ctx) => {
            await INCREMENT.processBatch(ctx);
            // One comes behind, one ahead; one goes behind.
            const { id } = ctx.items[5] ?? { id: 0 };
            if (id === 0 || id % 10 !== 0 || changed.has(id)) return;
            changed.add(id);
            database.prepare("INSERT INTO rows (id) VALUES (?)").run(id - 5);
            database.prepare("INSERT INTO rows (id) VALUES (?)").run(id + 45);
            database.prepare("DELETE FROM rows WHERE id = ?").run(id - 10);
          },
          onComplete: ({ coverage }) => void reports.push(coverage?.proven),
        }),
      );
      await f.run(iterator.start("job", { partitions }));
      await f.advance(5000);
      expect(rowsIn(database).filter(({ v }) => v !== 1)).toEqual([]);
      const { coverage, status } = await statusOf(f, iterator);
      expect(status).toBe("completed");
      expect(coverage).toMatchObject({ proven: true, atStart: 60, missed: 0, repeated: 0 });
      expect(coverage?.late).toBeGreaterThanOrEqual(6);
      expect(coverage?.atEnd).toBe(rowsIn(database).length);
      expect(reports).toEqual([true]);
    },
  );

  test("reports rows that a faulty cursor skipped, and has them processed", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 100);
    const storage = f.connect();
    const { tables } = storage;
    const skipping: TableStorage = {
      changes: (tx) => tables?.changes(tx) ?? 0,
      open: async (query) => {
        const table = (await tables?.open(query)) as OpenTable;
        return {
          keys: async (range, limit) => table.keys(range, limit),
          count: async () => table.count(),
          cuts: async (ranges) => table.cuts(ranges),
          // The cursor is one row ahead of what is handed over.
          rows: async (range, limit) => {
            const page = await table.rows(range, limit);
            if (limit !== 10 || page.rows.length < 10 || page.rows[0]?.["id"] !== 310) return page;
            return { ...page, rows: page.rows.slice(0, -1), keys: () => page.keys().slice(0, -1) };
          },
        };
      },
    };
    const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(proving), {
      storage: withTables(storage, skipping),
    });
    await f.run(iterator.start("job"));
    await f.advance(5000);
    const { coverage } = await statusOf(f, iterator);
    // A short page is taken for the last of its section, so all that follows is missed as well.
    expect(coverage?.proven).toBe(false);
    expect(coverage?.missed).toBeGreaterThanOrEqual(1);
    expect(new Set(rowsIn(database).map(({ v }) => v))).toEqual(new Set([1]));
  });

  test("of an empty table is true, and takes up what came meanwhile", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 0);
    const hold = new Hold();
    const { batch: iterator } = await f.started((bw) =>
      bw.iterator<Row>({
        ...proving,
        onComplete: async () => hold.wait(),
      }),
    );
    await f.run(iterator.start("job"));
    await f.advance(0);
    hold.releaseAll();
    await f.advance(0);
    expect((await statusOf(f, iterator)).coverage).toMatchObject({ proven: true, atEnd: 0 });
    expect(rowsIn(database)).toEqual([]);
  });

  test("goes on after its process died in the middle of it", async () => {
    const f = new Fixture("sqlite");
    const database = withRows(f, 300);
    let processes = 0;
    for (let round = 0; round < 40; round++) {
      const { process, batch: iterator } = await f.started(
        (bw) => bw.iterator<Row>({ ...proving, batchSize: 20, delayBetweenBatchesMs: 1000 }),
        { leaseMs: 1000, heartbeatMs: 300 },
      );
      if (round === 0) await f.run(iterator.start("job"));
      processes++;
      await f.advance(5500);
      const { status } = await statusOf(f, iterator);
      if (round < 20) database.prepare("INSERT INTO rows (id) VALUES (?)").run(1 + round);
      if (status === "completed") break;
      process.kill();
    }
    expect(processes).toBeGreaterThan(2);
    const { batch: iterator } = await f.started((bw) => bw.iterator<Row>(proving));
    const { coverage, status } = await statusOf(f, iterator);
    expect(status).toBe("completed");
    expect(coverage).toMatchObject({ proven: true, atStart: 300, visited: 300, missed: 0 });
    const atEnd = coverage?.atEnd ?? 0;
    expect(rowsIn(database).filter(({ v }) => v > 1)).toEqual([]);
    expect(rowsIn(database).filter(({ v }) => v === 1).length).toBeGreaterThanOrEqual(atEnd);
  });
});
