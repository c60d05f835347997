/** The auditor finds conflicts that were put there, and none where there are none. */
import { expect, test } from "vitest";
import schema from "../pool/app/schema.js";
import { stage, type MutationCtx, type Stage } from "../pool/fixture.js";
import { useVirtualTime } from "../stage.js";
import { Auditor, describeConflicts } from "./auditor.js";

useVirtualTime();

async function audited(): Promise<{
  at: Stage;
  auditor: Auditor;
  run: <R>(name: string, mutation: (ctx: MutationCtx) => Promise<R>) => Promise<R>;
}> {
  const at = await stage();
  const auditor = await Auditor.of([{ path: "", modules: {}, schema }]);
  return {
    at,
    auditor,
    run: (name, mutation) => auditor.transaction(name, () => at.mutate(mutation)),
  };
}

const row = { name: "a", at: 1 };

test("two transactions that count in the same row conflict, and the text says where", async () => {
  const { auditor, run } = await audited();
  const id = await run("insert", (ctx) => ctx.db.insert("ran", row));
  auditor.clear();
  for (const name of ["one", "two"]) {
    await run(name, async (ctx) => {
      const found = await ctx.db.get(id);
      await ctx.db.patch(id, { at: (found?.["at"] as number) + 1 });
    });
  }
  expect(describeConflicts(auditor.conflicts(10))).toBe(
    "1 conflicts\n  1 × two <- one: /ran[id]; one <- two: /ran[id]",
  );
});

test("who read a range conflicts with who inserts into it, and with nobody beyond it", async () => {
  const { auditor, run } = await audited();
  await run("insert", (ctx) => ctx.db.insert("ran", row));
  auditor.clear();
  await run("first row", async (ctx) => {
    await ctx.db.query("ran").first();
    await ctx.db.insert("ended", { workId: "a", context: null, result: null });
  });
  await run("behind", (ctx) => ctx.db.insert("ran", row));
  expect(describeConflicts(auditor.conflicts(10))).toBe("0 conflicts");
  await run("all rows", async (ctx) => {
    await ctx.db.query("ran").collect();
    await ctx.db.insert("ended", { workId: "a", context: null, result: null });
  });
  await run("at the end", (ctx) => ctx.db.insert("ran", row));
  expect(describeConflicts(auditor.conflicts(10))).toBe(
    [
      "2 conflicts",
      "  1 × all rows <- behind: /ran.by_creation_time",
      "  1 × all rows <- at the end: /ran.by_creation_time",
    ].join("\n"),
  );
});

test("a transaction that only reads, or ran later, conflicts with nobody", async () => {
  const { auditor, run } = await audited();
  await run("reader", (ctx) => ctx.db.query("ran").collect());
  await run("writer", (ctx) => ctx.db.insert("ran", row));
  expect(auditor.count("writer")).toBe(1);
  expect(auditor.conflicts(10)).toEqual([]);
});
