/** One process of a campaign on a pool: it enqueues and runs tasks until it is killed. */
import { flushCompileCache } from "node:module";

import { Batchwork, hasCode } from "batchwork";
import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { seededRandom } from "../../packages/batchwork/src/testing/random.ts";
import { openStore } from "../stores.ts";
import { ENGINE, SILENT } from "../work.ts";
import type { Message, Orders } from "../worker.ts";
import { PoolJournal } from "./journal.ts";
import { definePool, type ChaosPool, type ChaosTask } from "./work.ts";

const TASK_MS_MAX = 15;
const KEYS = ["north", "south"];

let producing = true;

process.on("message", (message: Message) => {
  if (message === "produce no more") producing = false;
  else if (typeof message !== "string") void work(message);
});
// Nobody is left to give orders.
process.once("disconnect", () => process.exit());
flushCompileCache();
process.send?.("loaded");

async function work({ place, journal, seed, canary, backlogMax }: Orders): Promise<void> {
  const log = new PoolJournal(journal);
  const random = seededRandom(seed);
  const store = openStore(place, canary);
  const engine = new Batchwork({ storage: store.storage, logger: SILENT, ...ENGINE });
  const pool = definePool(engine, {
    run: async ({ flaky, ms }, ctx) => {
      const { id, serialKey, signal, attempt } = ctx;
      signal.addEventListener("abort", () => {
        if (hasCode(signal.reason, "LEASE_LOST")) log.superseded();
      });
      log.began(id, serialKey);
      await sleep(systemClock, ms);
      log.ended(id);
      if (flaky && attempt === 1) throw new Error("fails the first time");
    },
    told: async (completions, ctx) => {
      const ids = completions.map(({ id }) => id);
      await store.commit(ctx, ids, undefined);
    },
  });
  process.on("message", (message: Message) => {
    if (message === "stop") {
      void stop();
    }
  });
  await engine.start();
  process.send?.("working");
  await produce(pool, log, backlogMax, random);

  async function stop(): Promise<void> {
    await engine.stop();
    await store.close();
    process.send?.("finished", () => process.disconnect());
  }
}

async function produce(
  pool: ChaosPool,
  log: PoolJournal,
  backlogMax: number,
  random: () => number,
): Promise<void> {
  while (producing) {
    const count = 1 + Math.floor(random() * 20);
    const tasks = Array.from({ length: count }, (): ChaosTask => {
      return { flaky: random() < 0.05, ms: Math.floor(random() * TASK_MS_MAX) };
    });
    try {
      log.acknowledged(await pool.enqueueBatch("work", tasks, optionsOf(random)));
      while (producing && (await pool.stats()).waiting > backlogMax) await sleep(systemClock, 20);
    } catch {
      // Not acknowledged: they may be there or not.
    }
    await sleep(systemClock, random() * 10);
  }
}

function optionsOf(random: () => number): Parameters<ChaosPool["enqueueBatch"]>[2] & object {
  const draw = random();
  if (draw < 0.2) return { serialKey: KEYS[Math.floor(random() * KEYS.length)] as string };
  if (draw < 0.3) return { priority: Math.floor(random() * 3) - 1 };
  return draw < 0.4 ? { runAfter: Math.floor(random() * 100) } : {};
}
