/**
 * Many small asynchronous jobs: a pool runs them five at a time, tries again what fails, keeps what
 * they return and tells when they are over.
 *
 *   node --conditions=batchwork-source examples/07-tasks-in-a-pool.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Batchwork, NonRetryableError, task } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import * as z from "zod";

const dir = mkdtempSync(join(tmpdir(), "batchwork-07-"));
const bw = new Batchwork({ storage: sqlite({ path: join(dir, "work.db") }) });

const ended: string[] = [];
const emails = bw.pool({
  name: "emails",
  maxParallelism: 5,
  retry: { maxAttempts: 3, initialBackoffMs: 10, base: 2 },
  handlers: {
    // The types of `enqueue` follow from the handlers: their names, arguments and results.
    verification: async (args: { userId: string }, ctx) => {
      if (args.userId === "nobody") throw new NonRetryableError("no such user");
      if (args.userId === "flaky" && ctx.attempt < 3) throw new Error("mail server is busy");
      return `mail-${args.userId}`;
    },
    // Arguments are checked when the task is enqueued, and made again before the handler.
    invoice: task({
      schema: z.object({ cents: z.coerce.number<string>().positive() }),
      handler: async ({ cents }) => cents / 100,
    }),
  },
  onComplete: ({ context, result }) => {
    ended.push(`${String(context)}: ${result.kind}`);
  },
});

await bw.start();
const ids = await Promise.all(
  ["ann", "flaky", "nobody"].map(async (userId) =>
    emails.enqueue("verification", { userId }, { context: userId }),
  ),
);
for (const id of ids) {
  const result = await emails.result(id, { timeoutMs: 30_000 });
  if (result.kind === "success") console.log("sent:", result.returnValue);
  if (result.kind === "failed") console.log("failed:", result.error.message);
}

const invoices = await emails.enqueueBatch("invoice", [{ cents: "250" }, { cents: "1999" }], {
  context: "invoice",
});
for (const id of invoices) {
  const result = await emails.result(id);
  if (result.kind === "success") console.log("invoiced:", result.returnValue);
}
try {
  await emails.enqueue("invoice", { cents: "-1" });
} catch (error) {
  console.log("refused:", error instanceof Error && "code" in error ? error.code : error);
}

const later = await emails.enqueue(
  "verification",
  { userId: "carl" },
  { runAfter: 60_000, context: "carl" },
);
console.log("carl:", await emails.status(later));
console.log("carl:", await emails.cancel(later), await emails.status(later));

// Callbacks are stored with the end of their task, and told at least once.
while (ended.length < 6) await sleep(10);
console.log(ended.toSorted().join("\n"));
const [letter] = await emails.deadLetters.list();
console.log("dead letter:", letter?.item.args, letter?.error.message);
await bw.stop();
rmSync(dir, { recursive: true });
