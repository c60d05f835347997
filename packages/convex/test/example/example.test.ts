/** The example app, driven as its users drive it: through public functions. */
import type { TestConvex } from "convex-test";
import { expect, test } from "vitest";
import { api } from "../../example/convex/_generated/api.js";
import schema from "../../example/convex/schema.js";
import { register as registerBatch } from "../../src/test/batch.js";
import { register } from "../../src/test/pool.js";
import { register as registerWorker } from "../../src/test/worker.js";
import { advance, deploy, useVirtualTime } from "../stage.js";

useVirtualTime();

const modules = import.meta.glob(["../../example/convex/**/*.{ts,js}", "!**/*.d.ts"]);

type App = TestConvex<typeof schema>;

async function example(): Promise<App> {
  const t = await deploy(schema, modules);
  for (const name of ["pool", "serialPool", "reminderPool"]) register(t, name);
  registerBatch(t);
  registerWorker(t);
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

const visitsOf = (site: string, count: number): { site: string; page: string }[] =>
  Array.from({ length: count }, (_, i) => ({ site, page: `/${i}` }));

test("visits are sent in batches by site, and those that the service refuses are shown", async () => {
  const t = await example();
  const visits = [...visitsOf("a", 60), { site: "b", page: "" }, ...visitsOf("b", 2)];
  expect(await t.mutation(api.visits.track, { visits })).toBe(63);
  const dashboard = (site: string): Promise<{ received: number; waiting: string }> =>
    t.query(api.visits.dashboard, { site });
  await advance(1000);
  expect((await dashboard("a")).received).toBe(60);
  const { received, waiting } = await dashboard("b");
  expect(received).toBe(0);
  expect(waiting).toMatch(/^3 items wait: no batch is full/v);
  await advance(WHILE_MS);
  expect(await dashboard("b")).toMatchObject({
    received: 2,
    refused: [{ site: "b", page: "" }],
    waiting: "0 items wait: nothing waits.",
  });
  expect(await t.mutation(api.visits.forgetRefused)).toBe(1);
  expect(await dashboard("b")).toMatchObject({ refused: [] });
});

test("visits wait while they are paused, and the interval changes without a deploy", async () => {
  const t = await example();
  await t.mutation(api.visits.pause, { isPaused: true });
  await t.mutation(api.visits.track, { visits: visitsOf("a", 3) });
  await advance(WHILE_MS);
  const dashboard = (): Promise<{ received: number }> =>
    t.query(api.visits.dashboard, { site: "a" });
  expect((await dashboard()).received).toBe(0);
  await t.mutation(api.visits.setInterval, { ms: 3_600_000 });
  await t.mutation(api.visits.pause, { isPaused: false });
  await advance(WHILE_MS);
  expect((await dashboard()).received).toBe(0);
  expect(await t.mutation(api.visits.flush)).toBe(true);
  await advance(1000);
  expect((await dashboard()).received).toBe(3);
});

test("all users are renewed page by page, with a pause in between, and it is reported once", async () => {
  const t = await example();
  const names = Array.from({ length: 60 }, (_, i) => `user ${i + 1}`);
  await t.mutation(api.users.importAll, { names });
  await advance(WHILE_MS);
  const jobId = "renewal";
  expect(await t.query(api.renewals.progress, { jobId })).toBeNull();
  expect(await t.mutation(api.renewals.start, { jobId })).toBe("running");
  await advance(50);
  expect(await t.mutation(api.renewals.control, { jobId, action: "pause" })).toBe("paused");
  await advance(WHILE_MS);
  expect(await t.query(api.renewals.progress, { jobId })).toEqual({ status: "paused", users: 10 });
  await t.mutation(api.renewals.control, { jobId, action: "resume" });
  await advance(WHILE_MS);
  const over = { status: "completed", users: 60 };
  expect(await t.query(api.renewals.progress, { jobId })).toEqual(over);
  expect(await t.run((ctx) => ctx.db.query("reports").collect())).toHaveLength(1);
  const users = await t.query(api.users.list);
  expect(new Set(users.map(({ greeting }) => greeting))).toEqual(new Set(["Welcome back."]));
});

test("a renewal that is cancelled stops, and says so", async () => {
  const t = await example();
  await t.mutation(api.renewals.start, { jobId: "a" });
  expect(await t.mutation(api.renewals.control, { jobId: "a", action: "cancel" })).toBe("failed");
  await advance(WHILE_MS);
  expect(await t.run((ctx) => ctx.db.query("reports").collect())).toEqual([]);
});

test("orders are shipped in the background, and wait while the loop is stopped", async () => {
  const t = await example();
  for (let i = 0; i < 30; i++) await t.mutation(api.orders.place, { item: `item ${i}` });
  expect(await t.query(api.orders.summary)).toEqual({ open: 30, shipped: 0, loop: "running" });
  await advance(WHILE_MS);
  expect(await t.query(api.orders.summary)).toEqual({ open: 0, shipped: 30, loop: "idle" });
  await t.mutation(api.orders.setOpen, { isOpen: false });
  await t.mutation(api.orders.place, { item: "late" });
  await advance(WHILE_MS);
  expect(await t.query(api.orders.summary)).toEqual({ open: 1, shipped: 30, loop: "stopped" });
  await t.mutation(api.orders.setOpen, { isOpen: true });
  await advance(WHILE_MS);
  expect(await t.query(api.orders.summary)).toEqual({ open: 0, shipped: 31, loop: "idle" });
});
