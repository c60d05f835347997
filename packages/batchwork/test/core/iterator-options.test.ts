import { describe, expect, test } from "vitest";

import { BatchworkError } from "../../src/core/errors.ts";
import {
  checkJobId,
  kindOf,
  resolveIteratorOptions,
  resolveJobSettings,
  type IteratorSettings,
} from "../../src/core/iterator-options.ts";
import { resolveTableOptions } from "../../src/core/table-options.ts";

const TABLE = { kind: "table" };
const functions = { processBatch: () => undefined, getNextBatch: () => undefined };
const least = { name: "backfill", batchSize: 500, ...functions };

function resolve(options: object): object {
  return resolveIteratorOptions(options as IteratorSettings, { concurrency: 5 });
}

function fieldOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    if (error instanceof BatchworkError && error.code === "OPTION_INVALID") return error.field;
    throw error;
  }
  return "nothing was thrown";
}

test("every option has the default that its description states", () => {
  expect(resolve(least)).toEqual({
    name: "backfill",
    batchSize: 500,
    delayBetweenBatchesMs: 0,
    maxRetries: 5,
    onFailure: "retry",
    timeout: undefined,
    targetMs: undefined,
    minBatchSize: 1,
    coverage: false,
    healthCheckMs: 1000,
    concurrency: 5,
  });
  expect(resolve({ ...least, concurrency: 2 })).toMatchObject({ concurrency: 2 });
  expect(resolveJobSettings({}, "other")).toEqual({
    batchSize: null,
    partitions: 1,
    dryRun: false,
    total: null,
  });
});

describe("refused, and named:", () => {
  test.each([
    ["name", { name: "a b" }],
    ["batchSize", { batchSize: 0 }],
    ["batchSize", { batchSize: undefined }],
    ["delayBetweenBatchesMs", { delayBetweenBatchesMs: -1 }],
    ["maxRetries", { maxRetries: 0 }],
    ["onFailure", { onFailure: "stop" }],
    ["timeout", { timeout: 0 }],
    ["targetMs", { targetMs: 0.5 }],
    ["minBatchSize", { minBatchSize: 501 }],
    ["coverage", { coverage: true }],
    ["healthCheckMs", { healthCheckMs: 1 }],
    ["healthCheck", { healthCheck: "fine" }],
    ["concurrency", { concurrency: 0 }],
    ["processBatch", { processBatch: undefined }],
    ["source", { source: "rows" }],
    ["source", { source: TABLE }],
    ["source", { getNextBatch: undefined }],
    ["batchsize", { batchsize: 5 }],
  ])("%s of %j", (field, over) => {
    expect(fieldOf(() => resolve({ ...least, ...over }))).toBe(field);
  });

  test.each([
    ["partitions", { partitions: 2 }],
    ["partitions", { partitions: 257 }],
    ["batchSize", { batchSize: 1.5 }],
    ["dryRun", { dryRun: "yes" }],
    ["total", { total: -1 }],
  ])("%s of a job: %j", (field, settings) => {
    expect(fieldOf(() => resolveJobSettings(settings as object, "other"))).toBe(field);
  });

  test.each([
    ["table", { table: "" }],
    ["key", { key: [] }],
    ["key", { key: ["a", 1] }],
    ["columns", { columns: "a" }],
    ["where", { where: 5 }],
    ["where", { where: null }],
    ["where", { where: { sql: "a = ?" } }],
    ["where", { where: { sql: "", values: [] } }],
  ])("%s of a table: %j", (field, over) => {
    expect(fieldOf(() => resolveTableOptions({ table: "rows", key: "id", ...over }))).toBe(field);
  });

  test.each(["", "a/b", "ä", "x".repeat(129), 5, undefined])("the id of a job: %j", (jobId) => {
    expect(fieldOf(() => checkJobId(jobId))).toBe("jobId");
  });

  test("options that are none", () => {
    expect(() => resolve(5 as unknown as object)).toThrow("an iterator");
    expect(() => resolve({ name: 5 })).toThrow("an iterator");
    expect(() => resolve({ name: "backfill" })).toThrow('iterator "backfill"');
  });
});

test("what is legal is taken", () => {
  expect(
    resolve({ ...least, getNextBatch: undefined, source: TABLE, coverage: true }),
  ).toMatchObject({ coverage: true });
  expect(resolveJobSettings({ partitions: 4, batchSize: 9 }, "table")).toMatchObject({
    partitions: 4,
    batchSize: 9,
  });
  const where = { sql: "a = ?", values: [1] };
  expect(resolveTableOptions({ table: "t", key: ["a", "b"], columns: ["c"], where })).toEqual({
    table: "t",
    key: ["a", "b"],
    columns: ["c"],
    where,
  });
  expect(() => checkJobId("migration-1::a.b_C")).not.toThrow();
});

test("a source is known by its mark", () => {
  expect([TABLE, { kind: "iterable" }, { kind: "x" }, {}, null, "table"].map(kindOf)).toEqual([
    "table",
    "iterable",
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
