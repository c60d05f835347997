/** What the simulated handlers do, and what they check about what they are given. */
import type { BatchContext } from "batchwork";
import type { SimItem } from "./item.ts";
import type { Delivery, Grant } from "./ledger/records.ts";
import type { Life } from "./life.ts";
import type { QueuePlan } from "./plan.ts";
import type { World } from "./world.ts";

/** How much longer than usual some handlers take, so that some outlive their lease. */
const LONG = 20;

/** Runs one delivery. */
export async function play(
  world: World,
  life: Life,
  queue: QueuePlan,
  context: BatchContext<SimItem>,
): Promise<void> {
  const { scheduler } = world;
  const delivery: Delivery = {
    startedAt: scheduler.now,
    endedAt: null,
    failed: new Set(),
    end: "running",
    timesOutAt: scheduler.now + (queue.timeout ?? Number.POSITIVE_INFINITY),
  };
  const grant = life.handed.get(Number(context.id));
  checkDelivery(world, life, context, grant, delivery);
  if (grant !== undefined) {
    grant.delivery = delivery;
    life.running.set(delivery, grant);
  }
  world.deliveries++;
  if (context.attempt > 1) world.retries++;
  try {
    await act(world, life, queue, context, delivery);
    delivery.end = "returned";
  } catch (error) {
    delivery.end = "threw";
    throw error;
  } finally {
    delivery.endedAt = scheduler.now;
    life.running.delete(delivery);
  }
}

/** How long a hook that dawdles takes at most, in leases. */
export const HOOK_LEASES = 3;

/** Puts the items in an order of its own, another one each time. */
export async function reorder(
  { rng, plan }: World,
  life: Life,
  queue: QueuePlan,
  items: readonly SimItem[],
): Promise<SimItem[]> {
  // A hook that runs into the timeout would be an attempt that no handler saw.
  const dawdles = queue.timeout === undefined && rng.chance(0.6);
  if (dawdles) await sleep(life, plan.leaseMs * (plan.calm ? 0.1 : rng.between(0.5, HOOK_LEASES)));
  const places = items.map((item) => ({ item, at: rng.unit() }));
  return places.toSorted((a, b) => a.at - b.at).map(({ item }) => item);
}

/** The handler is given exactly what this process was handed, and a suspect runs by itself. */
function checkDelivery(
  world: World,
  life: Life,
  context: BatchContext<SimItem>,
  grant: Grant | undefined,
  delivery: Delivery,
): void {
  const { ledger } = world;
  const what = `${life.name} runs batch ${context.id}`;
  if (grant === undefined) {
    ledger.fail("I-8 authority", `${what}, which it was never handed`);
    return;
  }
  const { items, group, queue } = grant.batch;
  const texts = context.batch.map((item) => JSON.stringify(item));
  const same = texts.length === items.length && items.every((item, n) => item.text === texts[n]);
  const ids = context.itemIds.join(" ") === items.map(({ id }) => id).join(" ");
  const about = ledger.queue(queue).name === context.name && (context.groupKey ?? "") === group;
  if (!same || !ids || !about || context.batchSize !== items.length) {
    ledger.fail("I-5 same id, same content", `${what} with other items than it was handed`);
  }
  if (context.attempt !== grant.attempt) {
    ledger.fail("I-12 attempts", `${what} as attempt ${context.attempt}, not ${grant.attempt}`);
  }
  if (grant.delivery !== undefined) {
    ledger.fail("I-8 authority", `${what} twice under one grant`);
  }
  const beside = [...life.running].filter(([other]) => other.timesOutAt > delivery.startedAt);
  if (beside.some(([, other]) => other.alone) || (grant.alone && beside.length > 0)) {
    ledger.fail("suspect runs alone", `${what} beside ${beside.length} others`);
  }
}

async function act(
  world: World,
  life: Life,
  queue: QueuePlan,
  context: BatchContext<SimItem>,
  delivery: Delivery,
): Promise<void> {
  const { rng, plan } = world;
  const work = rng.exponential(queue.workMs) * (rng.chance(0.03) ? LONG : 1);
  const atOnce = context.batch.every(({ fate }) => fate.kind === "last");
  if (work >= 1 && !atOnce) await sleep(life, work);
  if (rng.chance(0.1)) await context.progress(rng.whole(0, 100), "on it");
  const kills = context.batch.filter(({ fate }) => fate.kind.startsWith("kills"));
  const inside = queue.transactional && kills.every(({ fate }) => fate.kind === "kills-in-tx");
  if (kills.length > 0 && !inside) await die(world, life);
  const good: number[] = [];
  let throws = false;
  for (const [index, { uid, fate }] of context.batch.entries()) {
    const bad = "until" in fate && context.attempt <= fate.until;
    if (bad && fate.kind === "throws") throws = true;
    else if (bad) {
      delivery.failed.add(index);
      context.fail(index, new Error(`item ${uid} failed`));
    } else good.push(uid);
  }
  if (throws) throw new Error("a bad item, but which?");
  if (world.control.on && rng.chance(plan.faults.handlerThrows)) throw new Error("out of luck");
  if (!queue.transactional || good.length === 0) return;
  await commit(world, life, context, { queue, good, kills: kills.length > 0 });
  if (rng.chance(0.02)) throw new Error("thrown after the commit: too late to matter");
}

/** What is to be committed. */
interface Commit {
  readonly queue: QueuePlan;
  /** Items with an effect. */
  readonly good: readonly number[];
  /** True when the process dies inside the transaction. */
  readonly kills: boolean;
}

/** Writes the effects in one transaction with the acknowledgement. */
async function commit(
  world: World,
  life: Life,
  context: BatchContext<SimItem>,
  { queue, good, kills }: Commit,
): Promise<void> {
  const { rng } = world;
  const throwsInside = world.control.on && rng.chance(world.plan.faults.handlerThrows / 2);
  const followUp =
    world.control.on && rng.chance(queue.follows)
      ? world.newItem(rng.pick(world.plan.queues))
      : null;
  await context.tx((tx) => {
    world.store.writeEffects(tx, good);
    if (followUp !== null) {
      const target = life.batches.find(({ name }) => name === followUp.queue);
      target?.addSync(followUp.item, { tx });
    }
    if (kills) world.crash(life, "killed by an item inside its transaction");
    if (throwsInside) throw new Error("thrown inside the transaction");
  });
  if (followUp !== null) world.acknowledge(followUp.item, null);
}

/** The process ends here: what it awaits never comes. */
async function die(world: World, life: Life): Promise<never> {
  world.crash(life, "killed by an item");
  return new Promise<never>(() => {
    // Never.
  });
}

function sleep(life: Life, ms: number): Promise<void> {
  return new Promise((resolve) => {
    life.beside.after(ms, resolve);
  });
}
