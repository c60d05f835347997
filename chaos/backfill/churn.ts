/** A process that inserts, deletes and updates rows of the table that is walked through. */
import { seededRandom } from "../../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { connect, SPACING } from "./work.ts";

export interface ChurnOrders {
  readonly path: string;
  readonly rows: number;
  readonly seed: number;
}

process.once("message", (orders: ChurnOrders) => void churn(orders));
process.once("disconnect", () => process.exit());
process.send?.("loaded");

async function churn({ path, rows, seed }: ChurnOrders): Promise<void> {
  const database = connect(path);
  const random = seededRandom(seed);
  const insert = database.prepare("INSERT OR IGNORE INTO rows (id, note) VALUES (?, 'late')");
  const remove = database.prepare("DELETE FROM rows WHERE id = ?");
  const update = database.prepare("UPDATE rows SET note = ? WHERE id = ?");
  process.send?.("working");
  for (let n = 0; ; n++) {
    const at = 1 + Math.floor(random() * rows);
    // No key is ever used again: it would be another row.
    insert.run(at * SPACING + 1 + (n % (SPACING - 1)));
    remove.run((1 + Math.floor(random() * rows)) * SPACING);
    update.run(`updated ${n}`, at * SPACING);
    await sleep(systemClock, random() * 10);
  }
}
