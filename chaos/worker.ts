/**
 * One process of the campaign. It loads, waits for its orders, then adds and handles until it is
 * killed. It says `working` when it has begun and `finished` when it was asked to stop and has.
 */
import { flushCompileCache } from "node:module";

import { Batchwork, BatchworkError, type Batch } from "batchwork";
import { seededRandom } from "../packages/batchwork/src/testing/random.ts";
import { sleep, systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { Journal } from "./journal.ts";
import { openStore, type Place } from "./stores.ts";
import { define, ENGINE, SILENT, type ChaosItem, type Steps } from "./work.ts";

/** What a worker is told when it is its turn. */
export interface Orders {
  readonly place: Place;
  readonly journal: string;
  /** Number of this process in the campaign; its items carry it. */
  readonly life: number;
  readonly seed: number;
  /** Do it wrong: effects first, by themselves, and the acknowledgement later. */
  readonly canary: boolean;
  /** Producers wait while more than this is unhandled, or the end would take for ever. */
  readonly backlogMax: number;
  /** See `Steps`. */
  readonly retries?: number;
}

/** What a worker may be told later. */
export type Message = Orders | "produce no more" | "stop" | "probe";

/** The answer to `probe`: this item was acknowledged. */
export interface Probed {
  readonly probed: string;
}

/** Handlers take up to this long, ms. */
const HANDLER_MS_MAX = 20;
/** Between two tries of what fails while the database is away, ms. */
const AGAIN_MS = 20;
const GROUPS = ["north", "south", "east", "west"];

let producing = true;

process.on("message", (message: Message) => {
  if (message === "produce no more") producing = false;
  else if (typeof message !== "string") void work(message);
});
// Nobody is left to give orders.
process.once("disconnect", () => process.exit());
// Compiled code is kept for the next process: whoever is killed keeps nothing at its end.
flushCompileCache();
process.send?.("loaded");

async function work(orders: Orders): Promise<void> {
  const { place, journal, life, seed, canary } = orders;
  const log = new Journal(journal);
  const store = openStore(place, canary);
  const engine = new Batchwork({ storage: store.storage, logger: SILENT, ...ENGINE });
  const random = seededRandom(seed);
  const begin: Steps["begin"] = async ({ id, batchSize }) => {
    log.delivered(id, batchSize);
    // Some are killed in the middle of it.
    if (random() < 0.5) await sleep(systemClock, random() * HANDLER_MS_MAX);
  };
  const commit: Steps["commit"] = async (context, uids, follow) => {
    try {
      await store.commit(context, uids, follow);
    } catch (error) {
      if (error instanceof BatchworkError && error.code === "LEASE_LOST") log.fenced(context.id);
      throw error;
    }
  };
  const { retries } = orders;
  const { chaos, probe } = define(engine, { begin, commit, ...(retries && { retries }) });
  let probes = 0;
  process.on("message", (message: Message) => {
    if (message === "stop") void stop();
    else if (message === "probe") void addOne(probe, log, `${life}-p${++probes}`);
  });
  await insist(async () => engine.start());
  process.send?.("working");
  await produce(chaos, log, orders, random);

  async function stop(): Promise<void> {
    await engine.stop();
    await store.close();
    log.close();
    process.send?.("finished", () => process.disconnect());
  }
}

/** Adds an item as soon as that is possible. */
async function addOne(probe: Batch<ChaosItem>, log: Journal, name: string): Promise<void> {
  let tries = 0;
  let uid = "";
  await insist(async () => {
    // Another one each time: the one before may be there all the same.
    uid = `${name}.${++tries}-0-1`;
    await probe.add({ uid, group: "", fate: "fine" });
  });
  log.acknowledged([uid]);
  process.send?.({ probed: uid } satisfies Probed);
}

/** Does it again until it works. */
async function insist(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch {
      await sleep(systemClock, AGAIN_MS);
    }
  }
}

async function produce(
  batch: Batch<ChaosItem>,
  log: Journal,
  { life, backlogMax }: Orders,
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
    if (call % 20 === 0) await roomIn(batch, backlogMax);
  }
}

async function roomIn(batch: Batch<ChaosItem>, backlogMax: number): Promise<void> {
  while (producing) {
    try {
      if ((await batch.getBufferSize()) <= backlogMax) return;
    } catch {
      // Asked again below.
    }
    await sleep(systemClock, AGAIN_MS);
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
