/**
 * Groups: one queue, a batch per tenant, each in its own order, and no tenant waits behind another's
 * backlog.
 *
 *   node --conditions=batchwork-source examples/02-group-by-tenant.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";

interface Change {
  readonly tenant: string;
  readonly version: number;
}

const dir = mkdtempSync(join(tmpdir(), "batchwork-02-"));
const bw = new Batchwork({ storage: sqlite({ path: join(dir, "work.db") }) });

/** What each tenant's search index was sent, in order. */
const sent = new Map<string, number[]>();

const changes = bw.batch<Change>({
  name: "sync-changes",
  maxSize: 100,
  maxWaitMs: 60_000,
  groupBy: (change) => change.tenant,
  handler: (ctx) => {
    const { groupKey = "", batch, batchSize } = ctx;
    sent.set(groupKey, [...(sent.get(groupKey) ?? []), ...batch.map((change) => change.version)]);
    console.log(`${groupKey}: a batch of ${batchSize}, versions ${batch[0]?.version} and up`);
  },
});
await bw.start();

// A call is one commit: all of its items are stored, or none. Tenants may be mixed.
await changes.addBulk([
  { tenant: "acme", version: 1 },
  { tenant: "globex", version: 1 },
  { tenant: "acme", version: 2 },
]);
console.log("acme waiting:", await changes.getBufferSize("acme"));

// Resolves when the first attempt of everything that waits for acme has ended.
await changes.flush("acme");
console.log("acme waiting:", await changes.getBufferSize("acme"));
console.log("globex waiting:", await changes.getBufferSize("globex"));

// 250 changes of one tenant: batches of 100 as they fill, one after the other.
await changes.addBulk(Array.from({ length: 250 }, (_, n) => ({ tenant: "acme", version: n + 3 })));
await changes.flush("acme");
const versions = sent.get("acme") ?? [];
console.log("acme in order:", versions.length === 252 && versions.every((v, n) => v === n + 1));

// No argument: all groups.
await changes.flush();
console.log("waiting:", await changes.getBufferSize());

await bw.stop();
rmSync(dir, { recursive: true });
