/** `schema`: items are held to it before they are stored, whichever library it comes from. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, expectTypeOf, test } from "vitest";
import * as z from "zod";

import { hasCode } from "../../src/core/errors.ts";
import { SchemaError, type StandardSchema } from "../../src/core/schema.ts";
import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchContext } from "../../src/runtime/context.ts";
import type { AddOptions } from "../../src/runtime/add-options.ts";
import { Fixture, outcomeOf, STORAGES } from "./fixture.ts";

const LIMITS = { name: "orders", maxSize: 3, maxWaitMs: 1000 };

/** What is added. */
interface Order {
  customer: { email: string };
  totals: number[];
}

const good: Order = { customer: { email: "a@b.c" }, totals: [1, 2] };
const bad = { customer: { email: "a@b.c" }, totals: [1, "2"] } as unknown as Order;

const SCHEMAS: readonly [string, StandardSchema<Order>][] = [
  ["zod", z.object({ customer: z.object({ email: z.string() }), totals: z.array(z.number()) })],
  ["valibot", v.object({ customer: v.object({ email: v.string() }), totals: v.array(v.number()) })],
  ["arktype", type({ customer: { email: "string" }, totals: "number[]" })],
];

/** What became of an add. */
async function refusal(f: Fixture, adding: Promise<unknown>): Promise<SchemaError> {
  const error: unknown = await f.run(adding.catch((thrown: unknown) => thrown));
  expect(error).toBeInstanceOf(SchemaError);
  return error as SchemaError;
}

describe.each(STORAGES)("a schema on %s storage", (kind) => {
  test.each(SCHEMAS)(
    "of %s lets good items in and refuses bad ones by their path",
    async (_, schema) => {
      const f = new Fixture(kind);
      const items: Order[] = [];
      const handler = (ctx: BatchContext<Order>): void => void items.push(...ctx.batch);
      const { batch } = await f.started((bw) => bw.batch({ ...LIMITS, schema, handler }));
      await f.run(batch.add(good));
      const one = await refusal(f, batch.add(bad));
      expect(one).toMatchObject({
        code: "ITEM_INVALID",
        field: "$.totals[1]",
        index: 0,
        value: bad,
      });
      expect(one.issues).toHaveLength(1);
      expect(one.message).toContain('Item 0 for "orders" breaks its schema at $.totals[1]: ');
      // Nothing of the call is stored.
      expect(await refusal(f, batch.addBulk([good, good, bad]))).toMatchObject({ index: 2 });
      expect(await f.run(batch.getBufferSize())).toBe(1);
      await f.advance(1000);
      expect(items).toEqual([good]);
    },
  );

  test("what it makes of an item is what is stored, grouped and handed over", async () => {
    const f = new Fixture(kind);
    const batches: unknown[] = [];
    const schema = z.object({
      at: z.string().transform((text) => new Date(text)),
      shop: z.string().trim().default("web"),
    });
    const { batch } = await f.started((bw) =>
      bw.batch({
        ...LIMITS,
        schema,
        groupBy: (item) => item.shop,
        handler: (ctx) => void batches.push([ctx.groupKey, ctx.batch]),
      }),
    );
    await f.run(batch.addBulk([{ at: "2026-01-01" }, { at: "2026-01-02", shop: " a " }]));
    await f.advance(1000);
    expect(batches).toEqual([
      ["web", [{ at: new Date("2026-01-01"), shop: "web" }]],
      ["a", [{ at: new Date("2026-01-02"), shop: "a" }]],
    ]);
  });

  test("the keys of items are those of what was added, and content is what is stored", async () => {
    const f = new Fixture(kind);
    const schema = z.object({ id: z.string(), name: z.string().trim() });
    const { batch } = await f.started((bw) =>
      bw.batch({
        ...LIMITS,
        schema: schema.transform(({ name }) => name),
        handler: () => undefined,
      }),
    );
    const idempotencyKey = (item: { readonly id: string }): string => item.id;
    const add = (name: string): Promise<unknown> =>
      f.run(batch.addBulk([{ id: "1", name }], { idempotencyKey }));
    await add("ann");
    expect(await add(" ann ")).toMatchObject([{ duplicate: true }]);
    const options: AddOptions = { idempotencyKey: "1" };
    expect(await outcomeOf(f.run(batch.add({ id: "1", name: "bob" }, options)))).toBe(
      "KEY_CONFLICT",
    );
  });

  test("that is asynchronous is awaited by add and addBulk, and refused by addSync", async () => {
    const f = new Fixture(kind);
    const schema = z.string().refine(async (text) => text.length < 5, "is too long");
    let inside: unknown;
    const { bw, batch } = await f.started((engine) =>
      engine.batch({ ...LIMITS, schema, handler: () => undefined }),
    );
    const outer = bw.batch<number>({
      ...LIMITS,
      name: "outer",
      maxSize: 1,
      handler: (ctx) =>
        ctx.tx((tx) => {
          try {
            batch.addSync("abc", { tx });
          } catch (error) {
            inside = error;
          }
        }),
    });
    await f.run(batch.add("abc"));
    expect(await refusal(f, batch.add("abcdef"))).toMatchObject({ field: "$" });
    expect(await refusal(f, batch.addBulk(["a", "abcdef"]))).toMatchObject({ index: 1 });
    await f.run(outer.add(1));
    await f.advance(10);
    expect(hasCode(inside, "SCHEMA_ASYNC")).toBe(true);
    expect(await f.run(batch.getBufferSize())).toBe(1);
  });

  test("that is synchronous serves addSync, too", async () => {
    const f = new Fixture(kind);
    const codes: unknown[] = [];
    const { bw, batch } = await f.started((engine) =>
      engine.batch({ ...LIMITS, schema: z.string().trim(), handler: () => undefined }),
    );
    const outer = bw.batch<number>({
      ...LIMITS,
      name: "outer",
      maxSize: 1,
      handler: (ctx) =>
        ctx.tx((tx) => {
          batch.addSync(" a ", { tx });
          try {
            batch.addBulkSync(["b", 5 as unknown as string], { tx });
          } catch (error) {
            codes.push(error instanceof SchemaError && [error.index, error.field]);
          }
        }),
    });
    await f.run(outer.add(1));
    await f.advance(10);
    expect(codes).toEqual([[1, "$"]]);
    expect(await f.run(batch.getBufferSize())).toBe(1);
  });

  test("a schema that throws or rejects stores nothing, and its error is the caller's", async () => {
    const f = new Fixture(kind);
    const error = new Error("broken schema");
    const schema = z.string().transform((text) => {
      if (text === "break") throw error;
      return text;
    });
    const { batch } = await f.started((bw) =>
      bw.batch({ ...LIMITS, schema, handler: () => undefined }),
    );
    expect(await outcomeOf(f.run(batch.addBulk(["fine", "break"])))).toBe(error);
    expect(await f.run(batch.getBufferSize())).toBe(0);
  });
});

test("what is no schema is refused when the batch is defined", () => {
  const f = new Fixture("memory");
  const define = (): unknown =>
    f.process().bw.batch({ ...LIMITS, schema: {} as StandardSchema, handler: () => undefined });
  expect(define).toThrow('Option schema of batch "orders" must be a schema');
});

test("add takes the schema's input, and the handler gets its output", () => {
  const f = new Fixture("memory");
  const schema = z.object({ at: z.string().transform((text) => new Date(text)) });
  const batch = f.process().bw.batch({
    ...LIMITS,
    schema,
    handler: (ctx) => {
      expectTypeOf(ctx.batch).toEqualTypeOf<{ at: Date }[]>();
    },
    hooks: {
      onSuccess: (job) => expectTypeOf(job.items).toEqualTypeOf<readonly { at: Date }[]>(),
    },
    deadLetter: {
      enabled: true,
      onDead: (job) => expectTypeOf(job.items).toEqualTypeOf<readonly { at: Date }[]>(),
    },
  });
  expectTypeOf(batch).toEqualTypeOf<Batch<{ at: string }, { at: Date }, void>>();
  expectTypeOf<Parameters<(typeof batch)["add"]>[0]>().toEqualTypeOf<{ at: string }>();
  const other = f.process().bw.batch({
    ...LIMITS,
    schema: type({ id: "string.numeric.parse" }),
    handler: (ctx) => expectTypeOf(ctx.batch).toEqualTypeOf<{ id: number }[]>(),
  });
  expectTypeOf<Parameters<(typeof other)["add"]>[0]>().toEqualTypeOf<{ id: string }>();
  const third = f.process().bw.batch({
    ...LIMITS,
    schema: v.pipe(v.string(), v.transform(Number)),
    handler: (ctx) => expectTypeOf(ctx.batch).toEqualTypeOf<number[]>(),
  });
  expectTypeOf<Parameters<(typeof third)["add"]>[0]>().toEqualTypeOf<string>();
  expect(batch.name).toBe("orders");
});

test("every Standard Schema of the specification is one of ours", () => {
  expectTypeOf<StandardSchemaV1<string, number>>().toExtend<StandardSchema<string, number>>();
  expectTypeOf<StandardSchemaV1>().toExtend<StandardSchema>();
  const schema: StandardSchemaV1<Order> = z.custom<Order>();
  const ours: StandardSchema<Order> = schema;
  expect(ours["~standard"].version).toBe(1);
});
