/**
 * Failures: a service that is down, an item that fails by name, and an item that makes its whole
 * batch throw. Nothing disappears: what is out of attempts is a dead letter, to inspect and redrive.
 *
 *   node --conditions=batchwork-source examples/03-failures-and-dead-letters.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface Email {
  readonly to: string;
}

const dir = mkdtempSync(join(tmpdir(), "batchwork-03-"));
const bw = new Batchwork({ storage: sqlite({ path: join(dir, "work.db") }) });

let fixed = false;
const told = Promise.withResolvers<Error>();
const delivered: string[] = [];

const emails = bw.batch<Email>({
  name: "emails",
  maxSize: 8,
  maxWaitMs: 60_000,
  concurrency: 1,
  retries: { max: 1, strategy: "fixed", baseDelay: 20 },
  onFailure: "bisect",
  deadLetter: {
    enabled: true,
    onDead: (job, error) => {
      console.log(`dead: ${job.items[0]?.to} (${error.message})`);
      told.resolve(error);
    },
  },
  handler: (ctx) => {
    const names = ctx.batch.map((email) => email.to).join(" ");
    console.log(`attempt ${ctx.attempt}/${ctx.maxAttempts}: ${names}`);
    // An item to blame: it alone is retried, the others are done when the handler returns.
    const bob = ctx.batch.findIndex((email) => email.to === "bob");
    if (bob !== -1 && ctx.attempt === 1) ctx.fail(bob, new Error("mailbox busy"));
    // No item to blame: the batch is cut in two, at once and without using up attempts, until the
    // item that does it stands alone.
    if (!fixed && names.includes("%")) throw new Error("address not understood");
    const done = ctx.batch.filter((email) => email.to !== "bob" || ctx.attempt > 1);
    delivered.push(...done.map((email) => email.to));
  },
});

await bw.start();
await emails.addBulk(["ann", "bob", "carl", "dora"].map((to) => ({ to })));
// drain() waits until all of it is done or dead, then pauses the queue.
await emails.drain();
await emails.resume();
await emails.addBulk(["eve", "fay", "%", "gus"].map((to) => ({ to })));
await emails.drain();
await told.promise;
console.log("delivered:", delivered.toSorted().join(" "));

const [letter] = await emails.deadLetters.list();
console.log("dead letter:", letter?.item, letter?.error.message, `(${letter?.attempts} attempts)`);

// The cause is removed, and the item goes on, with all its attempts.
fixed = true;
console.log("redriven:", await emails.deadLetters.redrive("all"));
await emails.resume();
await emails.flush();
console.log("delivered:", delivered.toSorted().join(" "));
const { dead } = await emails.status();
console.log("dead letters:", dead);

await bw.stop();
rmSync(dir, { recursive: true });
