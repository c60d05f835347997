/** A process of the backfill: it loads, waits for its orders, then walks until it is killed. */
import { flushCompileCache } from "node:module";
import { openEngine } from "./work.ts";

/** What a walker is told when it is its turn. */
export interface WalkerOrders {
  readonly path: string;
  readonly faulty: boolean;
}

process.once("message", (orders: WalkerOrders) => void walk(orders));
// Nobody is left to give orders.
process.once("disconnect", () => process.exit());
flushCompileCache();
process.send?.("loaded");

async function walk({ path, faulty }: WalkerOrders): Promise<void> {
  await openEngine(path, faulty).engine.start();
  process.send?.("working");
}
