/**
 * Testing a handler: time that the test moves, what was delivered, and whether the handler may run
 * twice. Works in any test runner; whatever is wrong is thrown.
 *
 *   node --conditions=batchwork-source examples/06-testing-a-handler.ts
 */
import assert from "node:assert/strict";
import { Batchwork, type BatchContext } from "batchwork";
import { memory } from "batchwork/memory";
import {
  drain,
  expectDelivered,
  ManualClock,
  recordDeliveries,
  verifyHandler,
} from "batchwork/testing";

interface Charge {
  readonly customer: string;
  readonly cents: number;
}

/** A fake of the payment service, as the service's own tests have it. */
class FakeBank {
  readonly balances = new Map<string, number>();
  readonly keys = new Set<string>();

  async charge({ customer, cents }: Charge, key?: string): Promise<void> {
    if (key !== undefined && this.keys.has(key)) return;
    if (key !== undefined) this.keys.add(key);
    this.balances.set(customer, (this.balances.get(customer) ?? 0) + cents);
  }

  clear(): void {
    this.balances.clear();
    this.keys.clear();
  }
}

const bank = new FakeBank();

/** Under test. The id of an item stays the same on every delivery, so it can be a key. */
async function chargeAll(ctx: BatchContext<Charge>): Promise<void> {
  for (const [index, charge] of ctx.batch.entries()) {
    await bank.charge(charge, ctx.itemIds[index]);
  }
}

/** The same with a fault. */
async function chargeAllWithoutKeys(ctx: BatchContext<Charge>): Promise<void> {
  for (const charge of ctx.batch) await bank.charge(charge);
}

// 1. When is what handed over? Nothing happens but what the test lets happen.
const clock = new ManualClock();
const bw = new Batchwork({ storage: memory(), clock });
const charged = recordDeliveries(async (ctx: BatchContext<Charge>) => {
  if (ctx.attempt === 1) throw new Error("bank closed");
  await chargeAll(ctx);
});
const charges = bw.batch<Charge>({
  name: "charges",
  maxSize: 2,
  maxWaitMs: 60_000,
  retries: { max: 1, baseDelay: 3_600 },
  handler: charged.handler,
});
await clock.run(bw.start());

const ann = { customer: "ann", cents: 500 };
const bob = { customer: "bob", cents: 300 };
await clock.run(charges.add(ann));
await clock.advance(59_999);
expectDelivered(charged, { items: [] });

// Full with the second item: the first attempt fails, the second comes after baseDelay.
await clock.run(charges.add(bob));
const passedMs = await drain(clock, bw);
assert.ok(passedMs >= 3_600);
expectDelivered(charged, {
  batches: [
    [ann, bob],
    [ann, bob],
  ],
});
console.log("balances:", Object.fromEntries(bank.balances));

// What is not as expected is listed.
try {
  expectDelivered(charged, { items: [ann, { customer: "carl", cents: 100 }] });
} catch (error) {
  console.log((error as Error).message);
}
await clock.run(bw.stop());

// 2. May it run twice? Killed, timed out, taken over, cut in halves: the balances must be the same.
const options = {
  effects: { bank },
  observe: () => ({ balances: Object.fromEntries(bank.balances) }),
  reset: () => bank.clear(),
};
const good = await verifyHandler(chargeAll, [ann, bob], options);
console.log(`with keys: ${good.ok} after ${good.runs} runs`);

const bad = await verifyHandler(chargeAllWithoutKeys, [ann, bob], options);
console.log(`without: ${bad.ok}`);
console.log(bad.text.split("\n").slice(0, 3).join("\n"));
