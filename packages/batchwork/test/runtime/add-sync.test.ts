/** Adding inside a transaction that the caller holds open on the same SQLite file. */
import path from "node:path";
import { DatabaseSync } from "node:sqlite";

import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";

import { sqlite } from "../../src/storage/sqlite/index.ts";
import { ascending, DRIVERS, Fixture, itemsOf, numbers, recorder } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 500, maxWaitMs: 1000 };

describe.each(DRIVERS)("addSync in a transaction of the caller's, on %s", (driver) => {
  test("the item is delivered when the transaction commits, and not before", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    const { id, duplicate } = batch.addSync("paid", { tx: database });
    expect(duplicate).toBe(false);
    await f.advance(3000);
    expect(deliveries).toEqual([]);
    database.exec("COMMIT");
    await f.advance(1000);
    expect(deliveries).toMatchObject([{ items: ["paid"], itemIds: [id] }]);
  });

  test("addBulkSync puts many items into one chunk, all of them or none", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }));
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    expect(() => batch.addBulkSync([1, Number, 3] as number[], { tx: database })).toThrow(
      expect.objectContaining({ code: "ITEM_INVALID" }),
    );
    const results = batch.addBulkSync([4, 5, 6], { tx: database });
    expect(batch.addBulkSync([], { tx: database })).toEqual([]);
    database.exec("COMMIT");
    const chunks = database.prepare("SELECT count FROM batchwork_chunks").all();
    expect(chunks).toEqual([{ count: 3 }]);
    await f.advance(1000);
    expect(deliveries).toMatchObject([{ items: [4, 5, 6], itemIds: results.map(({ id }) => id) }]);
  });

  test("an item of a transaction that was rolled back never existed", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<string>(f.clock);
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    const database = f.handle();
    database.exec("CREATE TABLE orders (id INTEGER)");
    database.exec("BEGIN IMMEDIATE");
    database.exec("INSERT INTO orders VALUES (1)");
    const { id } = batch.addSync("ghost", { tx: database });
    database.exec("ROLLBACK");
    await f.run(batch.add("real"));
    await f.advance(5000);
    expect(itemsOf(deliveries)).toEqual(["real"]);
    expect(await f.run(batch.getBufferSize())).toBe(0);
    expect(database.prepare("SELECT count(*) AS n FROM orders").get()).toEqual({ n: 0 });
    expect(id).toBeTypeOf("string");
  });

  test("a full batch of such items is handed over without waiting for maxWaitMs", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, maxSize: 3, maxWaitMs: 3_600_000, handler }),
    );
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    for (let n = 0; n < 3; n++) batch.addSync(n, { tx: database });
    database.exec("COMMIT");
    await f.advance(50);
    expect(deliveries).toMatchObject([{ items: [0, 1, 2] }]);
  });

  test("a handle that was lent to the storage is a transaction too", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<string>(f.clock);
    const database = f.handle();
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }), {
      storage: sqlite({ database }),
    });
    database.exec("BEGIN");
    batch.addSync("kept", { tx: database });
    database.exec("COMMIT");
    database.exec("BEGIN");
    batch.addSync("dropped", { tx: database });
    database.exec("ROLLBACK");
    await f.advance(2000);
    expect(itemsOf(deliveries)).toEqual(["kept"]);
  });

  test("on a lent handle, too, a full batch does not wait for the next look", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<number>(f.clock);
    const database = f.handle();
    const { batch } = await f.started(
      (bw) => bw.batch<number>({ ...LIMITS, maxSize: 3, maxWaitMs: 3_600_000, handler }),
      { storage: sqlite({ database }), pollMs: 3_600_000, tickIntervalMs: 3_600_000 },
    );
    database.exec("BEGIN");
    for (let n = 0; n < 3; n++) batch.addSync(n, { tx: database });
    database.exec("COMMIT");
    await f.advance(0);
    expect(deliveries).toMatchObject([{ items: [0, 1, 2] }]);
  });

  test("an add that completes what addSync began starts the batch within pollMs", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<number>(f.clock);
    const database = f.handle();
    const { batch } = await f.started(
      (bw) => bw.batch<number>({ ...LIMITS, maxSize: 3, maxWaitMs: 3_600_000, handler }),
      { storage: sqlite({ database }), pollMs: 40, tickIntervalMs: 3_600_000 },
    );
    await f.advance(1000);
    database.exec("BEGIN");
    batch.addBulkSync([0, 1], { tx: database });
    database.exec("COMMIT");
    await f.advance(1000);
    await f.run(batch.add(2));
    await f.advance(40);
    expect(deliveries).toMatchObject([{ items: [0, 1, 2] }]);
  });

  test("several items in one call make few chunks, and their ids are the handler's", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<number>(f.clock);
    const { batch } = await f.started((bw) =>
      bw.batch<number>({ ...LIMITS, groupBy: (n) => (n % 2 === 0 ? "even" : "odd"), handler }),
    );
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    const results = batch.addBulkSync(numbers(400), { tx: database });
    expect(batch.addBulkSync([], { tx: database })).toEqual([]);
    database.exec("COMMIT");
    const chunks = new Set(results.map(({ id }) => id.split(":")[0]));
    expect(chunks.size).toBe(2);
    await f.advance(1000);
    const ids = deliveries.flatMap(({ itemIds }) => itemIds);
    expect(ids.toSorted(ascending)).toEqual(results.map(({ id }) => id).toSorted(ascending));
    expect(itemsOf(deliveries).toSorted((a, b) => a - b)).toEqual(numbers(400));
  });

  test("one bad item refuses the whole call, and a call has the limits of addBulk", async () => {
    const f = new Fixture(driver);
    const { handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    const tx = { tx: database };
    expect(() => batch.addBulkSync([1, Symbol("no"), 3], tx)).toThrow(
      expect.objectContaining({ code: "ITEM_INVALID" }),
    );
    expect(() => batch.addBulkSync(numbers(10_001), tx)).toThrow(
      expect.objectContaining({ code: "CALL_TOO_LARGE", value: 10_001 }),
    );
    database.exec("COMMIT");
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("on a lent handle items of a long transaction are handed over when it ends", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder<number>(f.clock);
    const database = f.handle();
    const { batch } = await f.started(
      (bw) => bw.batch<number>({ ...LIMITS, maxSize: 3, maxWaitMs: 3_600_000, handler }),
      { storage: sqlite({ database }), pollMs: 3_600_000, tickIntervalMs: 3_600_000 },
    );
    database.exec("BEGIN");
    for (let n = 0; n < 3; n++) batch.addSync(n, { tx: database });
    await f.advance(30_000);
    expect(deliveries).toEqual([]);
    database.exec("COMMIT");
    await f.advance(6000);
    expect(deliveries).toMatchObject([{ items: [0, 1, 2] }]);
  });

  test("what is wrong is thrown, not rejected, and leaves the transaction usable", async () => {
    const f = new Fixture(driver);
    const { deliveries, handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    expect(() => batch.addSync({ broken: Symbol("no") }, { tx: database })).toThrow(
      expect.objectContaining({ code: "ITEM_INVALID", field: "$.broken" }),
    );
    expect(() => batch.addSync("x".repeat(300_000), { tx: database })).toThrow(
      expect.objectContaining({ code: "ITEM_TOO_LARGE" }),
    );
    batch.addSync("fine", { tx: database });
    database.exec("COMMIT");
    await f.advance(2000);
    expect(itemsOf(deliveries)).toEqual(["fine"]);
  });

  test("a handle without a transaction, or of another file, is refused", async () => {
    const f = new Fixture(driver);
    const { handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const mismatch: unknown = expect.objectContaining({ code: "TX_MISMATCH" });
    expect(() => batch.addSync(1, { tx: f.handle() })).toThrow(mismatch);
    const other = f.handle(path.join(path.dirname(f.file), "other.db"));
    other.exec("BEGIN IMMEDIATE");
    expect(() => batch.addSync(1, { tx: other })).toThrow(mismatch);
    expect(() => batch.addSync(1, { tx: {} })).toThrow(mismatch);
    expect(() => batch.addSync(1, { tx: undefined })).toThrow(mismatch);
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("before the storage is open there is nothing to add to", async () => {
    const f = new Fixture(driver);
    const { handler } = recorder(f.clock);
    const batch = f.process().bw.batch({ ...LIMITS, handler });
    const database = f.handle();
    database.exec("BEGIN IMMEDIATE");
    expect(() => batch.addSync(1, { tx: database })).toThrow(
      expect.objectContaining({ code: "TX_UNSUPPORTED" }),
    );
    database.exec("ROLLBACK");
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });

  test("a handle of another SQLite library is refused: locks would not hold between them", async () => {
    const f = new Fixture(driver);
    const { handler } = recorder(f.clock);
    const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
    const other = driver === "sqlite" ? new Database(f.file) : new DatabaseSync(f.file);
    other.exec("BEGIN IMMEDIATE");
    const message: unknown = expect.stringMatching(/another SQLite library/);
    expect(() => batch.addSync(1, { tx: other })).toThrow(
      expect.objectContaining({ code: "TX_MISMATCH", message }),
    );
    other.exec("ROLLBACK");
    other.close();
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });
});

test("a transaction function of better-sqlite3 commits its items with its rows", async () => {
  const f = new Fixture("better-sqlite3");
  const { deliveries, handler } = recorder<number>(f.clock);
  const database = new Database(f.file);
  onTestFinished(() => void database.close());
  const { batch } = await f.started((bw) => bw.batch<number>({ ...LIMITS, handler }), {
    storage: sqlite({ database }),
  });
  database.exec("CREATE TABLE orders (id INTEGER)");
  const order = database.transaction((id: number) => {
    database.prepare("INSERT INTO orders VALUES (?)").run(id);
    batch.addSync(id, { tx: database });
    if (id === 2) throw new RangeError("out of stock");
  });
  order.immediate(1);
  expect(() => order.immediate(2)).toThrow(RangeError);
  order.immediate(3);
  await f.advance(1000);
  expect(itemsOf(deliveries)).toEqual([1, 3]);
  expect(database.prepare("SELECT id FROM orders").pluck().all()).toEqual([1, 3]);
});

test("memory storage has no transaction of the caller's to join", async () => {
  const f = new Fixture("memory");
  const { handler } = recorder(f.clock);
  const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, handler }));
  const database = f.handle(":memory:");
  database.exec("BEGIN");
  expect(() => batch.addSync(1, { tx: database })).toThrow(
    expect.objectContaining({ code: "TX_UNSUPPORTED" }),
  );
  expect(await f.run(batch.getBufferSize())).toBe(0);
});
