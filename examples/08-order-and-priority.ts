/**
 * What runs when: one task of a customer at a time and in order, urgent ones first, no more at a
 * time than was said while everything runs, and calls of one pool that go through another.
 *
 *   node --conditions=batchwork-source examples/08-order-and-priority.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";

const dir = mkdtempSync(join(tmpdir(), "batchwork-08-"));
const bw = new Batchwork({ storage: sqlite({ path: join(dir, "work.db") }) });

const versions = new Map<string, number[]>();
const perCustomer = new Map<string, number>();
let mostOfOne = 0;
const sync = bw.pool({
  name: "sync",
  maxParallelism: 20,
  handlers: {
    push: async ({ customer, version }: { customer: string; version: number }) => {
      const running = (perCustomer.get(customer) ?? 0) + 1;
      perCustomer.set(customer, running);
      mostOfOne = Math.max(mostOfOne, running);
      await sleep(1);
      versions.set(customer, [...(versions.get(customer) ?? []), version]);
      perCustomer.set(customer, running - 1);
    },
  },
});

// A counter that is read and written by many: with one at a time nobody gets in anybody's way.
let count = 0;
const counter = bw.pool({
  name: "counter",
  maxParallelism: 1,
  handlers: {
    increment: async (by: number) => {
      const before = count;
      await sleep(1);
      count = before + by;
      return count;
    },
  },
});

const order: string[] = [];
const reports = bw.pool({
  name: "reports",
  maxParallelism: 0, // nothing starts yet
  handlers: {
    print: async (name: string, ctx) => {
      order.push(name);
      await counter.ctx(ctx).run("increment", 1);
    },
  },
});

await bw.start();
const pushes: string[] = [];
for (let version = 1; version <= 5; version++) {
  for (const customer of ["acme", "globex", "initech"]) {
    pushes.push(await sync.enqueue("push", { customer, version }, { serialKey: customer }));
  }
}
for (const id of pushes) await sync.result(id);
for (const [customer, seen] of versions) console.log(customer, seen.join(" "));
console.log("at most", mostOfOne, "of a customer at a time");

await reports.enqueueBatch("print", ["monthly", "yearly"], { priority: 10 });
await reports.enqueueBatch("print", ["daily"]);
await reports.enqueueBatch("print", ["for the auditor"], { priority: -1 });
console.log("waits for:", (await reports.explain()).waitsFor);
// Stored: it holds in every process and after a restart, whatever the definitions say.
await reports.config.update({ maxParallelism: 1 });
while ((await reports.stats()).waiting + (await reports.stats()).running > 0) {
  await sleep(10);
}
console.log(order.join(", "));
console.log("counted:", count);
await bw.stop();
rmSync(dir, { recursive: true });
