/**
 * Checked, watched and sized: a zod schema refuses bad items before they are stored, hooks and
 * events tell what happens, and the size of batches follows how long the handler takes.
 *
 *   node --conditions=batchwork-source examples/05-schema-hooks-and-size.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batchwork, SchemaError } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import * as z from "zod";

const Reading = z.object({
  sensor: z.string().min(1),
  celsius: z.number().min(-90).max(60),
  at: z.iso.datetime().transform((text) => new Date(text)),
});

const dir = mkdtempSync(join(tmpdir(), "batchwork-05-"));
const bw = new Batchwork({ storage: sqlite({ path: join(dir, "work.db") }) });

let warmest = -Infinity;
let latest = new Date(0);
let written = 0;
let locked = true;

const readings = bw.batch({
  name: "readings",
  schema: Reading,
  maxSize: 200,
  maxWaitMs: 60_000,
  concurrency: 1,
  // Begins with 20 items and grows while a batch takes less than 5 s; one that took longer would
  // halve the size at once.
  target: { durationMs: 5000 },
  minSize: 20,
  retries: { max: 1, strategy: "fixed", baseDelay: 10 },
  tags: ["sensors"],
  handler: (ctx) => {
    if (locked) {
      locked = false;
      throw new Error("table is locked");
    }
    // An item is what the schema made of it: `at` is a Date.
    for (const { celsius, at } of ctx.batch) {
      warmest = Math.max(warmest, celsius);
      if (at > latest) latest = at;
    }
    return ctx.batchSize;
  },
  hooks: {
    // What it returns is stored before the handler runs, and every retry gets the same items.
    beforeFlush: (items) => items.filter((item) => item.sensor !== "test"),
    onSuccess: (_job, count) => {
      written += count;
    },
    onFail: (job, error) => console.log(`attempt ${job.attempts} failed: ${error.message}`),
  },
});

const sizes: number[] = [];
bw.on("sealed", ({ size, reason }) => {
  if (reason === "size") sizes.push(size);
});
readings.on("retried", ({ next: [first] }) => {
  console.log(`again, attempt ${first?.attempt}, in ${first?.delayMs} ms`);
});
readings.on("dead", ({ count }) => console.log(`${count} dead letters`));

const at = "2026-05-01T12:00:00Z";
try {
  await readings.addBulk([
    { sensor: "roof", celsius: 21, at },
    { sensor: "oven", celsius: 210, at },
  ]);
} catch (error) {
  if (!(error instanceof SchemaError)) throw error;
  console.log(`refused: ${error.code}, item ${error.index}, ${error.field}`);
}
// One bad item refuses its whole call.
console.log("waiting:", await readings.getBufferSize());

await readings.addBulk(
  Array.from({ length: 1000 }, (_, n) => ({
    sensor: n % 100 === 0 ? "test" : `s${n % 7}`,
    celsius: n % 40,
    at,
  })),
);
await bw.start();
await readings.drain();
await bw.stop();

console.log(`written: ${written}, warmest: ${warmest}, latest: ${latest.toISOString()}`);
console.log("sizes:", sizes.join(" "));
rmSync(dir, { recursive: true });
