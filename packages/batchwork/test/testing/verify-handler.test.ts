/** `verifyHandler`: what it finds in handlers that do it wrong, and that it lets the others pass. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";

import type { BatchContext } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { verifyHandler, type VerifyOptions, type VerifyReport } from "batchwork/testing";
import { describe, expect, onTestFinished, test } from "vitest";

interface Order {
  readonly id: string;
  readonly amount: number;
}

const ORDERS: readonly Order[] = [
  { id: "a", amount: 10 },
  { id: "b", amount: 20 },
  { id: "c", amount: 30 },
];

/** A database as tests have it, with one method that is idempotent and two that are not. */
class FakeShop {
  readonly #rows = new Map<string, number>();
  #log: string[] = [];
  #total = 0;

  async upsert({ id, amount }: Order): Promise<void> {
    this.#rows.set(id, amount);
  }

  async insert({ id, amount }: Order): Promise<void> {
    if (this.#rows.has(id)) throw new Error(`duplicate key ${id}`);
    this.#rows.set(id, amount);
  }

  async append({ id }: Order): Promise<void> {
    this.#log.push(id);
  }

  addToTotal(amount: number): void {
    this.#total += amount;
  }

  get state(): { rows: [string, number][]; log: string[]; total: number } {
    const rows = [...this.#rows].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return { rows, log: [...this.#log], total: this.#total };
  }

  clear(): void {
    this.#rows.clear();
    this.#log = [];
    this.#total = 0;
  }
}

function verify(
  shop: FakeShop,
  handler: (ctx: BatchContext<Order>) => unknown,
  options: Partial<VerifyOptions<Order>> = {},
): Promise<VerifyReport> {
  return verifyHandler(handler, ORDERS, {
    observe: () => shop.state,
    reset: () => shop.clear(),
    effects: { shop },
    ...options,
  });
}

describe("a handler passes that", () => {
  test("writes each item under its own key", async () => {
    const shop = new FakeShop();
    const report = await verify(shop, async (ctx) => {
      for (const order of ctx.batch) await shop.upsert(order);
    });
    expect(report.text).toMatch(/^verifyHandler: \d+ runs, and all of them left the same state\.$/);
    // Clean twice, four accidents at three calls and the end, and two halves.
    expect(report).toMatchObject({ ok: true, problems: [], runs: 2 + 4 * 4 + 1 });
  });

  test("makes its calls at the same time, in groups", async () => {
    const shop = new FakeShop();
    const handler = async (ctx: BatchContext<Order>): Promise<void> => {
      await Promise.all(ctx.batch.map(async (order) => shop.upsert(order)));
    };
    const groupBy = ({ amount }: Order): string => (amount < 15 ? "small" : "large");
    expect(await verify(shop, handler, { batch: { groupBy } })).toMatchObject({ ok: true });
  });

  test("does nothing at all, at items that are plain", async () => {
    const report = await verifyHandler(() => undefined, [1], {
      observe: () => 0,
      reset: () => undefined,
    });
    expect(report.ok).toBe(true);
  });

  test("writes through ctx.tx on SQLite alone, even what cannot be repeated", async () => {
    const { file, database } = sqliteFile();
    const report = await verifyHandler<Order>(
      async (ctx) => {
        await ctx.progress(50);
        await ctx.tx((tx) => {
          const insert = tx.prepare("INSERT INTO ledger VALUES (?, ?)");
          for (const { id, amount } of ctx.batch) insert.run(id, amount);
        });
      },
      ORDERS,
      {
        storage: () => sqlite({ path: file }),
        observe: () => database.prepare("SELECT id, amount FROM ledger ORDER BY id").all(),
        reset: () => database.exec("DELETE FROM ledger"),
      },
    );
    expect(report.text).toContain("all of them left the same state");
    expect(report.ok).toBe(true);
  });
});

describe("a handler is found out that", () => {
  test("counts", async () => {
    const shop = new FakeShop();
    const { ok, problems, text } = await verify(shop, (ctx) => {
      for (const { amount } of ctx.batch) shop.addToTotal(amount);
    });
    expect(ok).toBe(false);
    expect(problems).toContainEqual({
      scenario: "killed after shop.addToTotal() #2, then delivered again",
      effect: "total",
      expected: 60,
      found: 90,
    });
    expect(text).toContain("    total: expected 60, found 120");
  });

  test("counts, even where no object of effects is named: its end is enough", async () => {
    let count = 0;
    const report = await verifyHandler(() => void count++, [1], {
      observe: () => count,
      reset: () => (count = 0),
    });
    expect(report.problems).toEqual(
      [
        "killed after the handler's last line, then delivered again",
        "the handler's last line took effect but failed, then tried again",
        "lost its lease during the handler's last line: delivered elsewhere, and then it went on",
        "timed out during the handler's last line: delivered again, and then it went on",
      ].map((scenario) => ({ scenario, effect: "the observed state", expected: 1, found: 2 })),
    );
  });

  test("inserts without minding that the row is there, and lets the items die of it", async () => {
    const shop = new FakeShop();
    const { problems } = await verify(shop, async (ctx) => {
      for (const order of ctx.batch) await shop.insert(order);
    });
    const killed = problems.filter(({ scenario }) => scenario.startsWith("killed"));
    expect(killed).toContainEqual({
      scenario: "killed after shop.insert() #1, then delivered again",
      effect: "dead letters",
      expected: [],
      found: ["Error: duplicate key a"],
    });
  });

  test("uses the id of the batch as a key although its batches are split", async () => {
    const shop = new FakeShop();
    const seen = new Set<string>();
    const handler = async (ctx: BatchContext<Order>): Promise<void> => {
      if (seen.has(ctx.id)) return;
      for (const order of ctx.batch) await shop.append(order);
      seen.add(ctx.id);
    };
    const reset = (): void => {
      shop.clear();
      seen.clear();
    };
    const effects = { shop, seen };
    const { problems } = await verify(shop, handler, {
      reset,
      effects,
      batch: { onFailure: "bisect" },
    });
    const scenarios = problems.map(({ scenario }) => scenario);
    expect(scenarios).toContain("the handler's last line took effect but failed, then tried again");
    expect(scenarios).toContain("killed after shop.append() #1, then delivered again");
    expect(scenarios).not.toContain("killed after the handler's last line, then delivered again");
    expect(scenarios).not.toContain("delivered in two halves");
  });

  test("writes one row for each batch, which is another row for each half", async () => {
    const shop = new FakeShop();
    const handler = async (ctx: BatchContext<Order>): Promise<void> => {
      const amount = ctx.batch.reduce((sum, order) => sum + order.amount, 0);
      await shop.upsert({ id: (ctx.batch[0] as Order).id, amount });
    };
    const { problems } = await verify(shop, handler);
    expect(problems.map(({ scenario }) => scenario)).toEqual(["delivered in two halves"]);
    expect(await verify(shop, handler, { halves: false })).toMatchObject({ ok: true });
  });

  test("has effects inside ctx.tx that are not of its transaction", async () => {
    const shop = new FakeShop();
    const { problems } = await verify(shop, async (ctx) => {
      await ctx.tx(() => {
        for (const { amount } of ctx.batch) shop.addToTotal(amount);
      });
    });
    expect(problems.map(({ scenario, found }) => [scenario, found])).toEqual([
      ["killed after shop.addToTotal() #1, then delivered again", 70],
      ["shop.addToTotal() #1 took effect but failed, then tried again", 70],
      ["killed after shop.addToTotal() #2, then delivered again", 90],
      ["shop.addToTotal() #2 took effect but failed, then tried again", 90],
      ["killed after shop.addToTotal() #3, then delivered again", 120],
      ["shop.addToTotal() #3 took effect but failed, then tried again", 120],
    ]);
  });

  test("goes on after its lease is lost, and undoes what its successor did", async () => {
    const shop = new FakeShop();
    const { problems } = await verify(shop, async (ctx) => {
      for (const order of ctx.batch) await shop.upsert({ ...order, amount: ctx.attempt });
    });
    expect(problems).toContainEqual({
      scenario: "timed out during shop.upsert() #1: delivered again, and then it went on",
      effect: "rows",
      expected: [
        ["a", 1],
        ["b", 1],
        ["c", 1],
      ],
      found: [
        ["a", 2],
        ["b", 1],
        ["c", 1],
      ],
    });
  });

  test("has catch and finally, which do not run where the process is killed", async () => {
    const shop = new FakeShop();
    const { problems } = await verify(shop, async (ctx) => {
      shop.addToTotal(1);
      try {
        for (const order of ctx.batch) await shop.upsert(order);
      } finally {
        shop.addToTotal(-1);
      }
    });
    const killed = problems.filter(({ scenario }) => scenario.startsWith("killed"));
    expect(killed.map(({ scenario, found }) => [scenario, found])).toEqual([
      ["killed after shop.addToTotal() #1, then delivered again", 1],
      ["killed after shop.upsert() #1, then delivered again", 1],
      ["killed after shop.upsert() #2, then delivered again", 1],
      ["killed after shop.upsert() #3, then delivered again", 1],
    ]);
  });
});

describe("it refuses to judge", () => {
  const shop = new FakeShop();

  test("a handler that fails in peace", async () => {
    const failing = verify(shop, () => {
      throw new RangeError("always");
    });
    await expect(failing).rejects.toThrow(/fails on the sample in peace\. RangeError: always/);
  });

  test("a state that differs by itself, or is not put back", async () => {
    let runs = 0;
    const differing = verify(shop, () => undefined, { observe: () => ({ at: ++runs }) });
    await expect(differing).rejects.toThrow(/two clean runs leave two different states \(at\)/);
  });

  test("a handler that does not end", async () => {
    const hanging = verify(shop, () => Promise.withResolvers<never>().promise, { handlerMs: 20 });
    await expect(hanging).rejects.toThrow(/had not ended after 20 ms/);
  });

  test("without what it needs to judge by", async () => {
    const handler = (): void => undefined;
    const options = { observe: () => 0, reset: () => undefined };
    for (const [sample, given, field] of [
      [[], options, "sample"],
      [[1], { ...options, observe: undefined as never }, "observe"],
      [[1], { ...options, maxCalls: 1 }, "maxCalls"],
      [[1], { ...options, effects: { db: Object.freeze({ write: handler }) } }, "effects"],
    ] as const) {
      await expect(verifyHandler(handler, sample, given)).rejects.toMatchObject({
        code: "OPTION_INVALID",
        field,
      });
    }
  });
});

test("the objects are as they were when it is over", async () => {
  const shop = new FakeShop();
  const own = Object.assign(new FakeShop(), { extra: () => "mine" });
  const { extra } = own;
  await verify(shop, (ctx) => shop.addToTotal(ctx.batchSize), { effects: { shop, own } });
  expect(Object.hasOwn(shop, "addToTotal")).toBe(false);
  expect(own.extra).toBe(extra);
  expect(shop.state.total).toBeGreaterThan(0);
});

test("of many calls it tries those that are asked for, first and last among them", async () => {
  const shop = new FakeShop();
  const { runs, problems } = await verify(
    shop,
    (ctx) => {
      for (let n = 0; n < 30; n++) shop.addToTotal(ctx.batchSize);
    },
    { maxCalls: 3, halves: false },
  );
  // Two clean ones; kill and fail at two calls that are synchronous; four at the end.
  expect(runs).toBe(2 + 2 * 2 + 4);
  expect(problems[0]?.scenario).toBe("killed after shop.addToTotal() #1, then delivered again");
});

function sqliteFile(): { file: string; database: DatabaseSync } {
  const folder = mkdtempSync(path.join(tmpdir(), "batchwork-verify-"));
  const file = path.join(folder, "work.db");
  const database = new DatabaseSync(file, { timeout: 1000 });
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("CREATE TABLE ledger (id TEXT, amount INTEGER)");
  onTestFinished(() => {
    database.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { file, database };
}
