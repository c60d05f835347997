/** Rows that the first version of the component wrote keep working: a deploy happens in between. */
import { expect, test } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { events, isEmpty, stage, type Stage } from "./fixture.js";

useVirtualTime();

type Row = Record<string, unknown>;

/** Fields that the first version knew; every other one has to be optional for ever. */
const FIRST: Readonly<Record<string, string>> = {
  groups: "batchId state config declaredAt",
  chunks: "items",
  headers: "group chunk from count bytes addedAt dueAt inbox",
  runners: "group token state run runAt watch flushedTo entries looks",
  flushes: "group position members count attempts isPart createdAt startedAt retryAt",
  dead: "group batchId item error at",
  history: "batchId itemCount flushedAt durationMs success errorMessage entry",
  jobs:
    "jobId status cancelled token run runAt watch cursor processedCount retryCount " +
    "errorMessage lastRunAt pageSize callbackAttempts config",
};

/** Makes every row look as the first version wrote it. */
async function asFirst({ inside }: Stage): Promise<void> {
  await inside(async (ctx) => {
    for (const [table, fields] of Object.entries(FIRST)) {
      for (const row of (await ctx.db.query(table).collect()) as Row[]) {
        const kept = Object.fromEntries(fields.split(" ").map((field) => [field, row[field]]));
        const { members } = kept as { members?: Row[] };
        if (members !== undefined) {
          kept["members"] = members.map(({ chunk, from, end }) => ({ chunk, from, end }));
        }
        await ctx.db.replace(row["_id"] as never, kept as never);
      }
    }
  });
}

test("items and a failed batch of the first version are flushed, and nothing is left", async () => {
  const at = await stage({ maxBatchSize: 3 });
  watched.fails = 1;
  await at.add(events(4));
  await at.add(events(4, 5));
  await advance(500);
  await asFirst(at);
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toEqual(events(8).map(({ n }) => n));
});

test("a batch that the first version had handed over is settled, halved and buried as ever", async () => {
  const at = await stage({ maxAttempts: 1 });
  watched.poison = 4;
  watched.ms = 1000;
  await at.add(events(6));
  await at.add(events(6, 7));
  await advance(1200);
  expect(await at.rows("flushes")).toHaveLength(1);
  await asFirst(at);
  await advanceUntil(() => isEmpty(at));
  const numbers = watched.done.flat().toSorted((a, b) => a - b);
  expect(numbers).toEqual(events(12).flatMap(({ n }) => (n === 4 ? [] : [n])));
  await asFirst(at);
  watched.poison = null;
  await at.mutate((ctx) => at.processor.redrive(ctx, "events"));
  await advanceUntil(() => isEmpty(at));
  expect(watched.done.flat()).toContain(4);
});

test("a batch of the first version of which some items failed keeps those, and no other", async () => {
  const at = await stage();
  watched.rejected = [2, 6];
  watched.ms = 1000;
  await at.add(events(6));
  await at.add(events(4, 7));
  await advance(1200);
  await asFirst(at);
  await advance(1000);
  watched.rejected = [];
  await advanceUntil(() => isEmpty(at));
  expect(watched.batches).toEqual([events(10).map(({ n }) => n), [2, 6]]);
});

test("a job that the first version started goes on from its checkpoint", async () => {
  const at = await stage();
  watched.ms = 200;
  await at.t.run(async (ctx) => {
    for (let n = 1; n <= 6; n++) await ctx.db.insert("users", { n });
  });
  await at.iterate(2);
  await advance(400);
  await asFirst(at);
  await advanceUntil(async () => (await at.rows("jobs"))[0]?.["status"] === "completed");
  expect(watched.done.flat()).toEqual([1, 2, 3, 4, 5, 6]);
});

test("history of the first version is shown, and stays within its number", async () => {
  const at = await stage();
  await at.add(events(1));
  await advance(2000);
  await asFirst(at);
  await at.add(events(1, 2));
  await advance(2000);
  const history = await at.t.query((ctx) => at.processor.getFlushHistory(ctx, "events"));
  expect(history).toMatchObject([{ success: true }, { success: true }]);
});
