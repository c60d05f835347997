/**
 * One process of the campaign. It loads, waits for its orders, then adds and handles until it is
 * killed. It says `working` when it has begun and `finished` when it was asked to stop and has.
 */
import { flushCompileCache } from "node:module";
import { DatabaseSync } from "node:sqlite";

import { Batchwork, type Batch } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { seededRandom } from "../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { Journal } from "./journal.ts";
import {
  commitTogether,
  define,
  ENGINE,
  INSERT_EFFECT,
  SILENT,
  type ChaosItem,
  type Steps,
} from "./work.ts";

/** What a worker is told when it is its turn. */
export interface Orders {
  readonly path: string;
  readonly journal: string;
  /** Number of this process in the campaign; its items carry it. */
  readonly life: number;
  readonly seed: number;
  /** Do it wrong: effects first, by themselves, and the acknowledgement later. */
  readonly canary: boolean;
}

/** Producers wait while more than this is unhandled, or the end would take for ever. */
const BACKLOG_MAX = 3000;
/** Handlers take up to this long, ms. */
const HANDLER_MS_MAX = 20;
const GROUPS = ["north", "south", "east", "west"];

let producing = true;

process.on("message", (message: Orders | "produce no more" | "stop") => {
  if (message === "produce no more") producing = false;
  else if (message !== "stop") void work(message);
});
// Compiled code is kept for the next process: whoever is killed keeps nothing at its end.
flushCompileCache();
process.send?.("loaded");

async function work({ path, journal, life, seed, canary }: Orders): Promise<void> {
  const log = new Journal(journal);
  const engine = new Batchwork({ storage: sqlite({ path }), logger: SILENT, ...ENGINE });
  const random = seededRandom(seed);
  const batch = define(engine, {
    begin: async ({ id, batchSize }) => {
      log.delivered(id, batchSize);
      // Some are killed in the middle of it.
      if (random() < 0.5) await sleep(systemClock, random() * HANDLER_MS_MAX);
    },
    commit: canary ? commitApart(path) : commitTogether,
  });
  process.on("message", (message) => {
    if (message === "stop") void stop(engine, log);
  });
  await engine.start();
  process.send?.("working");
  await produce(batch, log, life, random);
}

/** The mistake that `ctx.tx` is there to prevent. A campaign that does not notice it is no good. */
function commitApart(path: string): Steps["commit"] {
  const database = new DatabaseSync(path, { timeout: 1000 });
  const insert = database.prepare(INSERT_EFFECT);
  return async (context, uids) => {
    for (const uid of uids) insert.run(uid, context.id);
    await sleep(systemClock, HANDLER_MS_MAX);
  };
}

async function produce(
  batch: Batch<ChaosItem>,
  log: Journal,
  life: number,
  random: () => number,
): Promise<void> {
  for (let call = 0; producing; call++) {
    const items = newItems(life, call, random);
    try {
      await (items.length === 1 ? batch.add(items[0] as ChaosItem) : batch.addBulk(items));
      log.acknowledged(items.map(({ uid }) => uid));
    } catch {
      // Not acknowledged: it may be there or not.
    }
    await sleep(systemClock, random() * 3);
    if (call % 20 === 0) {
      while (producing && (await batch.getBufferSize()) > BACKLOG_MAX) await sleep(systemClock, 20);
    }
  }
}

function newItems(life: number, call: number, random: () => number): ChaosItem[] {
  const count = random() < 0.5 ? 1 : 1 + Math.floor(random() * 30);
  return Array.from({ length: count }, (_, index): ChaosItem => {
    const group = GROUPS[Math.floor(random() * GROUPS.length)] as string;
    return { uid: `${life}-${call}-${index}-${count}`, group, fate: fateOf(random()) };
  });
}

function fateOf(draw: number): ChaosItem["fate"] {
  if (draw < 0.005) return "poison";
  return draw < 0.03 ? "flaky" : "fine";
}

async function stop(engine: Batchwork, log: Journal): Promise<void> {
  await engine.stop();
  log.close();
  process.send?.("finished", () => process.disconnect());
}
