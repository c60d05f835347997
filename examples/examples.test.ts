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
