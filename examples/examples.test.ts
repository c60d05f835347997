/** Every example runs as a reader would run it, and prints what it is meant to print. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };
import { runProgram } from "../repo/run-program.ts";

const TIMEOUT_MS = 120_000;
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "batchwork-examples-"));
});

afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

function run(file: string, ...args: string[]): Promise<string> {
  return runProgram(join(import.meta.dirname, file), args, dir);
}

/** The number at the end of the line that begins with `name`. */
function figure(output: string, name: string): number {
  const line = output.split("\n").find((text) => text.startsWith(name));
  return Number(line?.slice(name.length).replaceAll(",", "") ?? Number.NaN);
}

test("every example is run by a test of this file", () => {
  const files = readdirSync(import.meta.dirname).filter((name) => /^\d\d-.*\.ts$/.test(name));
  expect(files.toSorted()).toEqual([
    "00-main-job.ts",
    "01-batch-inserts.ts",
    "02-group-by-tenant.ts",
    "03-failures-and-dead-letters.ts",
    "04-once-with-your-rows.ts",
    "05-schema-hooks-and-size.ts",
    "06-testing-a-handler.ts",
    "07-tasks-in-a-pool.ts",
    "08-order-and-priority.ts",
    "09-tasks-and-your-rows.ts",
    "10-backfill.ts",
    "11-partitions-and-proof.ts",
    "12-worker.ts",
    "13-worker-partitions.ts",
  ]);
});

test("01 inserts page views in batches and flushes the rest", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("01-batch-inserts.ts");
  expect(output).toMatchInlineSnapshot(`
    "added 1200 page views, waiting: 1200
    inserted a batch of 500
    inserted a batch of 500
    inserted a batch of 200
    in the table: 1200
    waiting: 0
    "
  `);
});

test("02 keeps tenants apart and each in order", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("02-group-by-tenant.ts");
  expect(output).toMatchInlineSnapshot(`
    "acme waiting: 2
    acme: a batch of 2, versions 1 and up
    acme waiting: 0
    globex waiting: 1
    acme: a batch of 100, versions 3 and up
    acme: a batch of 100, versions 103 and up
    acme: a batch of 50, versions 203 and up
    acme in order: true
    globex: a batch of 1, versions 1 and up
    waiting: 0
    "
  `);
});

test("03 retries, bisects, keeps and redrives", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("03-failures-and-dead-letters.ts");
  expect(output).toMatchInlineSnapshot(`
    "attempt 1/2: ann bob carl dora
    attempt 2/2: bob
    attempt 1/2: eve fay % gus
    attempt 1/2: eve fay
    attempt 1/2: % gus
    attempt 1/2: %
    attempt 1/2: gus
    attempt 2/2: %
    dead: % (address not understood)
    delivered: ann bob carl dora eve fay gus
    dead letter: { to: '%' } address not understood (2 attempts)
    redriven: 1
    attempt 1/2: %
    delivered: % ann bob carl dora eve fay gus
    dead letters: 0
    "
  `);
});

test("04 stores an order and its mail together, and once", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("04-once-with-your-rows.ts");
  expect(output).toMatchInlineSnapshot(`
    "killed (SIGKILL) before commit
      orders: 0, mails waiting: 0
    order o-1: stored, mail added
    killed (SIGKILL) after commit
      orders: 1, mails waiting: 1
    order o-1: known already
    order o-2: stored, mail added
      orders: 2, mails waiting: 2
    refused: KEY_CONFLICT
    mails sent: ann bob
    "
  `);
});

test("07 runs tasks, keeps their results and tells when they end", async () => {
  const output = await run("07-tasks-in-a-pool.ts");
  expect(output).toMatchInlineSnapshot(`
    "sent: mail-ann
    sent: mail-flaky
    failed: no such user
    invoiced: 2.5
    invoiced: 19.99
    refused: ITEM_INVALID
    carl: pending
    carl: canceled finished
    ann: success
    carl: canceled
    flaky: success
    invoice: success
    invoice: success
    nobody: failed
    dead letter: { userId: 'nobody' } no such user
    "
  `);
});

test("08 keeps customers in order and lets urgent tasks go first", async () => {
  const output = await run("08-order-and-priority.ts");
  expect(output).toMatchInlineSnapshot(`
    "acme 1 2 3 4 5
    globex 1 2 3 4 5
    initech 1 2 3 4 5
    at most 1 of a customer at a time
    waits for: paused
    for the auditor, daily, monthly, yearly
    counted: 4
    "
  `);
});

test("09 ships each order once, though the worker is killed", async () => {
  const output = await run("09-tasks-and-your-rows.ts");
  expect(output).toMatchInlineSnapshot(`
    "waiting: 200
    the same task: true
    worker ended by SIGKILL
    left: 0 dead: 0
    orders with a parcel: 200
    parcels: 201
    "
  `);
});

test("05 refuses, filters, tells and grows its batches", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("05-schema-hooks-and-size.ts");
  expect(output).toMatchInlineSnapshot(`
    "refused: ITEM_INVALID, item 1, $.celsius
    waiting: 0
    attempt 1 failed: table is locked
    again, attempt 2, in 10 ms
    written: 990, warmest: 39, latest: 2026-05-01T12:00:00.000Z
    sizes: 20 20 20 24 24 24 24 24 32 32 32 32 32 32 32 32 48 48 48 48 48 64 64 64 64 64
    "
  `);
});

test("06 moves time, and finds what may not run twice", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("06-testing-a-handler.ts");
  expect(output).toMatchInlineSnapshot(`
    "balances: { ann: 500, bob: 300 }
    expectDelivered: what was delivered is not what was expected.
      too often: { customer: 'ann', cents: 500 } (2 times instead of 1), in batch 1
      missing: { customer: 'carl', cents: 100 }
      not expected: { customer: 'bob', cents: 300 }, in batch 1
    Delivered:
      batch 1, attempt 1: [ { customer: 'ann', cents: 500 }, { customer: 'bob', cents: 300 } ]
      batch 1, attempt 2: [ { customer: 'ann', cents: 500 }, { customer: 'bob', cents: 300 } ]
    with keys: true after 15 runs
    without: false
    verifyHandler: 12 of 15 runs left another state than a clean delivery.
      killed after bank.charge() #1, then delivered again
        balances: expected { ann: 500, bob: 300 }, found { ann: 1000, bob: 300 }
    "
  `);
});

describe("the main job", () => {
  const match = "OK: 135,232 loaded + 1 dead = 135,233 in the source; every country matches.";
  const poison = 'Poselok Turisticheskogo pansionata "Klyazminskoe vodohranilische" (RU)';

  test("is what npm start runs", () => {
    expect(packageJson.scripts.start).toContain("examples/00-main-job.ts");
  });

  test(
    "loads every city, with retries, bisects and one dead letter",
    { timeout: TIMEOUT_MS },
    async () => {
      const output = await run("00-main-job.ts", "--dir", join(dir, "plain"));
      expect(output).toContain(match);
      expect(output).toMatch(/│ Total +│ +135,233 │ +135,232 │ +1 │/);
      expect(output).toMatch(/│ US {2}United States +│ +16,677 │ +16,677 │ +0 │/);
      expect(output).toContain(poison);
      // All batches of one country, and twice the poison record.
      expect(figure(output, "retries")).toBeGreaterThanOrEqual(2032 / 500 + 2);
      expect(figure(output, "batches split in two")).toBeGreaterThanOrEqual(1);
      expect(figure(output, "dead letters")).toBe(1);
      // 246 countries, at most 500 cities a batch.
      expect(figure(output, "batches  ")).toBeGreaterThan(246);
    },
  );

  test("ends with the same totals after a SIGKILL half-way", { timeout: TIMEOUT_MS }, async () => {
    const output = await run("00-main-job.ts", "--crash", "--dir", join(dir, "crash"));
    expect(output).toContain("Killed by SIGKILL");
    expect(output).toContain(match);
    expect(output).toContain(poison);
    const before = Number(
      /Before the kill, ([\d,]+) cities/v.exec(output)?.[1]?.replaceAll(",", "") ?? Number.NaN,
    );
    // Half of the source, less the batch that it died in.
    expect(before).toBeGreaterThan(135_233 / 2 - 500);
    expect(before).toBeLessThan(135_233 / 2);
    expect(before + figure(output, "loaded")).toBe(135_232);
    expect(figure(output, "delivered a second time")).toBeGreaterThanOrEqual(1);
  });

  test("loads the same on a PostgreSQL server of its own", { timeout: TIMEOUT_MS }, async () => {
    const output = await run("00-main-job.ts", "--postgres");
    expect(output).toContain("135,233 cities of 246 countries -> PostgreSQL");
    expect(output).toContain(match);
    expect(output).toMatch(/│ Total +│ +135,233 │ +135,232 │ +1 │/);
    expect(output).toContain(poison);
    expect(figure(output, "dead letters")).toBe(1);
  });

  test("on PostgreSQL too, a SIGKILL changes no total", { timeout: TIMEOUT_MS }, async () => {
    const output = await run("00-main-job.ts", "--postgres", "--crash");
    expect(output).toContain("Killed by SIGKILL");
    expect(output).toContain(match);
    expect(output).toContain(poison);
    const before = Number(
      /Before the kill, ([\d,]+) cities/v.exec(output)?.[1]?.replaceAll(",", "") ?? Number.NaN,
    );
    // Five batches at a time may have committed without the process knowing.
    expect(Math.abs(before - 135_233 / 2)).toBeLessThan(5 * 500);
    expect(before + figure(output, "loaded")).toBe(135_232);
    expect(figure(output, "delivered a second time")).toBeGreaterThanOrEqual(1);
  });
});

test("10 fills in each row once, though processes die", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("10-backfill.ts");
  expect(output).toMatchInlineSnapshot(`
    "killed (SIGKILL) in the middle of page 3 of its life
    killed (SIGKILL) in the middle of page 4 of its life
    completed: 1000 rows, 1 of them bad
    dead letter: row 500, nobody is no address
    rows written once: 999
    rows written twice: 0
    rows left alone: 1
    "
  `);
});

test("11 proves that no row was missed", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("11-partitions-and-proof.ts");
  expect(output).toMatchInlineSnapshot(`
    "dry run: 4000 rows would change
    taxed so far: 0
    partitions: 4
    proven: true
    rows at the start: 4000
    rows missed: 0
    rows that came late: 20
    orders not taxed exactly once: 0
    "
  `);
});

test("12 sends mails by a worker and sets one aside", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("12-worker.ts");
  expect(output).toMatchInlineSnapshot(`
    "sent 3: ann@example.com bob@example.com cid@example.com
    sent 1: dan@example.com
    sent 1: eve@example.com
    A worker gave something up: it is a dead letter.
    dead: nowhere after 2 attempts: no address: nowhere
    stopped: stopped
    sent 1: fay@example.com
    6 mails in 4 batches
    "
  `);
});

test("13 packs every parcel once although it is killed", { timeout: TIMEOUT_MS }, async () => {
  const output = await run("13-worker-partitions.ts");
  expect(output).toMatchInlineSnapshot(`
    "killed (SIGKILL) with 225 of 900 parcels packed
    packed once: 900, otherwise: 0
    berlin: 300 parcels
    lyon: 300 parcels
    turin: 300 parcels
    "
  `);
});
