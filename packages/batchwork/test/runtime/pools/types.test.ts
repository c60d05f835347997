/** What follows from the types of handlers. Checked by the compiler; the calls are never made. */
import { expect, expectTypeOf, test } from "vitest";
import * as z from "zod";

import {
  Batchwork,
  task,
  type Completion,
  type PendingState,
  type TaskContext,
  type TaskResult,
} from "../../../src/index.ts";
import { memory } from "../../../src/storage/memory/index.ts";

const bw = new Batchwork({ storage: memory() });
const pool = bw.pool({
  name: "typed",
  handlers: {
    send: async (args: { readonly to: string }, ctx) => {
      expectTypeOf(ctx).toEqualTypeOf<TaskContext>();
      return args.to.length;
    },
    tick: () => "done",
    parse: {
      schema: z.object({ n: z.coerce.number<string>() }),
      timeout: 5,
      handler: async (args: { n: number }) => args.n,
    },
    inferred: task({
      schema: z.object({ at: z.iso.datetime().transform((text) => new Date(text)) }),
      handler: async ({ at }, ctx) => {
        expectTypeOf(at).toEqualTypeOf<Date>();
        expectTypeOf(ctx).toEqualTypeOf<TaskContext>();
        return at.getTime();
      },
    }),
  },
  onComplete: (completion) => expectTypeOf(completion).toEqualTypeOf<Completion>(),
});

/** What `maxPending` of a pool takes, and what `explain` says of it. */
async function limits(): Promise<void> {
  const handlers = { tick: () => "done" };
  bw.pool({ name: "items", handlers, maxPending: { items: 5 }, version: 2 });
  bw.pool({ name: "both", handlers, maxPending: { items: 5, bytes: 100, policy: "wait" } });
  // @ts-expect-error -- no such policy
  bw.pool({ name: "drop", handlers, maxPending: { items: 5, policy: "drop" } });
  // @ts-expect-error -- a limit has a name
  bw.pool({ name: "number", handlers, maxPending: 5 });
  expectTypeOf((await pool.explain()).pending).toEqualTypeOf<PendingState | null>();
  expectTypeOf<PendingState["limit"]["items"]>().toEqualTypeOf<number>();
  expectTypeOf<PendingState["policy"]>().toEqualTypeOf<"reject" | "wait">();
}

/** Never called: it is enough that it compiles. */
async function calls(): Promise<void> {
  const sent = await pool.enqueue("send", { to: "ann" });
  expectTypeOf(await pool.result(sent)).toEqualTypeOf<TaskResult<number>>();
  expectTypeOf(sent).toExtend<string>();
  expectTypeOf(await pool.result(await pool.enqueue("tick"))).toEqualTypeOf<TaskResult<string>>();
  const [parsed] = await pool.enqueueBatch("parse", [{ n: "1" }]);
  if (parsed !== undefined) {
    expectTypeOf(await pool.result(parsed)).toEqualTypeOf<TaskResult<number>>();
  }
  await pool.enqueue("inferred", { at: "2026-01-01T00:00:00Z" });
  expectTypeOf(await pool.ctx({}).run("send", { to: "ann" })).toEqualTypeOf<number>();
  const id = String(sent);
  expectTypeOf(await pool.result(id)).toEqualTypeOf<TaskResult>();
  // @ts-expect-error -- no such handler
  await pool.enqueue("sent", { to: "ann" });
  // @ts-expect-error -- other arguments
  await pool.enqueue("send", { to: 1 });
  // @ts-expect-error -- arguments are missing
  await pool.enqueue("send");
  // @ts-expect-error -- the schema takes text
  await pool.enqueue("parse", { n: 1 });
  // @ts-expect-error -- both of them
  await pool.enqueueBatch("send", [{ to: "ann" }, {}]);
  const schema = z.object({ n: z.number() });
  const handler = async (args: { n: string }): Promise<string> => args.n;
  // @ts-expect-error -- the schema makes a number
  bw.pool({ name: "wrong", handlers: { parse: { schema, handler } } });
}

test("names, arguments and results of tasks follow from the handlers", () => {
  expect(calls).toBeTypeOf("function");
  expect(limits).toBeTypeOf("function");
});
