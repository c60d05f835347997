/** The example app, driven as its users drive it: through public functions. */
import type { TestConvex } from "convex-test";
import { expect, test } from "vitest";
import { api } from "../../example/convex/_generated/api.js";
import schema from "../../example/convex/schema.js";
import { register } from "../../src/test/pool.js";
import { advance, deploy, useVirtualTime } from "../stage.js";

useVirtualTime();

const modules = import.meta.glob(["../../example/convex/**/*.{ts,js}", "!**/*.d.ts"]);

type App = TestConvex<typeof schema>;

async function example(): Promise<App> {
  const t = await deploy(schema, modules);
  for (const name of ["pool", "serialPool", "reminderPool"]) register(t, name);
  return t;
}

const WHILE_MS = 10_000;

test("who signs up is greeted, and the work is finished then", async () => {
  const t = await example();
  const { work } = await t.mutation(api.users.signUp, { name: "Ada" });
  expect(await t.query(api.users.progress, { work })).toBe("pending");
  await advance(WHILE_MS);
  expect(await t.query(api.users.progress, { work })).toBe("finished");
  expect(await t.query(api.users.list)).toEqual([{ name: "Ada", greeting: "Hello, Ada!" }]);
});

test("a greeting that keeps failing is given up after its attempts, and says so", async () => {
  const t = await example();
  await t.mutation(api.users.signUp, { name: "" });
  await advance(WHILE_MS);
  expect(await t.query(api.users.list)).toEqual([{ name: "", greeting: "failed: failed" }]);
});

test("a greeting that is cancelled in time is not sent", async () => {
  const t = await example();
  const { work } = await t.mutation(api.users.signUp, { name: "Ada" });
  await t.mutation(api.users.giveUp, { work });
  await advance(WHILE_MS);
  expect(await t.query(api.users.list)).toEqual([{ name: "Ada", greeting: "failed: canceled" }]);
});

test("an import adds everybody, in the order given, and everybody is reminded", async () => {
  const t = await example();
  const names = Array.from({ length: 60 }, (_, i) => `user ${i + 1}`);
  await t.mutation(api.users.importAll, { names });
  await advance(WHILE_MS);
  const users = await t.query(api.users.list);
  expect(users.map(({ name }) => name)).toEqual(names);
  expect(await t.mutation(api.reminders.remindAll)).toBe(60);
  await advance(WHILE_MS);
  const reminded = await t.query(api.users.list);
  expect(new Set(reminded.map(({ greeting }) => greeting))).toEqual(new Set(["Do not forget us."]));
});
