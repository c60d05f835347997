/** The second half of a run: the faults are over, so everything must come to its end. */
import type { Storage } from "batchwork";
import { stop } from "./actions.ts";
import type { SimItem } from "./item.ts";
import { HOOK_LEASES } from "./handler.ts";
import { check, pass } from "./pass.ts";
import { ViolationError } from "./violation.ts";
import type { World } from "./world.ts";

/** When all is quiet everything ends within so many leases, … */
const QUIET_LEASES = 60;
/** … this much per item that is left for each attempt, and this much besides, ms. */
const QUIET_MS = 30_000;
/** `onDead` is called again when whoever was to call it has not been heard of for a minute. */
const NOTICE_MS = 130_000;

/** Faults are off and everybody is back: now everything must come to its end. */
export async function liveness(world: World, auditor: Storage): Promise<void> {
  const { plan, ledger, slots } = world;
  ledger.note("world", "faults end");
  world.control.on = false;
  for (const slot of slots) {
    if (slot.life !== null && plan.restartAll) world.bury(slot.life);
    if (slot.life === null) slot.startAt = 0;
    else slot.life.outageUntil = 0;
  }
  world.startDue();
  do await comeToRest(world);
  while (world.up().length === 0);
  await check(world, auditor);
  const uids = addToAll(world);
  await comeToRest(world);
  const missing = uids.filter((uid) => ledger.byUid.get(uid)?.state !== "done");
  if (missing.length > 0) {
    const detail = `items ${missing.join(" ")} of ${uids.join(" ")} were not delivered at the end`;
    throw new ViolationError("delivered something", detail);
  }
  await stopAll(world);
  await check(world, auditor);
}

/** Until nothing is left to do, and everybody knows. */
async function comeToRest(world: World): Promise<void> {
  const { plan, scheduler } = world;
  const endAt = scheduler.now + QUIET_MS + QUIET_LEASES * plan.leaseMs + workMs(world);
  const toldBy = endAt + NOTICE_MS;
  for (;;) {
    world.startDue();
    await resumeAll(world);
    await pass(world, plan.leaseMs / 4);
    if (isIdle(world) && isTold(world)) return;
    if (scheduler.now > endAt && !isIdle(world)) throw notDrained(world);
    if (scheduler.now > toldBy) throw new ViolationError("onDead is told", "not of all that died");
  }
}

/** However the run went, each queue still delivers. */
function addToAll(world: World): number[] {
  const [life] = world.up();
  if (life === undefined) return [];
  return world.plan.queues.map((queue, n) => {
    const made = world.newItem(queue).item;
    const last: SimItem = { ...made, fate: { kind: "last" } };
    // Nothing of it may be a duplicate.
    const item = queue.deduplicates ? { ...last, key: `last ${last.uid}` } : last;
    // Much may be on its way to a slow storage before it.
    const mark = `add ${item.uid}`;
    life.waiting.add(mark);
    void life.batches[n]
      ?.add(item)
      .then(({ id }) => world.acknowledge(item, id))
      .finally(() => void life.waiting.delete(mark));
    return item.uid;
  });
}

/** A drain that ends late pauses its queue again, so this is done more than once. */
async function resumeAll(world: World): Promise<void> {
  const [life] = world.up();
  if (life === undefined) return;
  for (const { name, paused } of world.ledger.queues.values()) {
    if (!paused) continue;
    const batch = life.batches.find((one) => one.name === name);
    await Promise.race([batch?.resume(), world.scheduler.rest()]);
  }
}

/** An upper bound of the time that what is left takes, one after another. */
function workMs(world: World): number {
  let ms = 0;
  for (const { name, workMs: each, throttle, reorders, ...queue } of world.plan.queues) {
    const { retries, maxWaitMs, timeout } = queue;
    const left = world.unfinished().filter((item) => world.ledger.queue(item.queue).name === name);
    const attempts = retries.max + 2;
    const longest = Math.min(each * 3, timeout ?? Number.POSITIVE_INFINITY);
    ms += left.length * attempts * longest + attempts * retries.maxDelay + maxWaitMs;
    if (reorders) ms += left.length * HOOK_LEASES * world.plan.leaseMs;
    if (throttle !== undefined) ms += (left.length + 1) * 2 * attempts * throttle.duration;
    const kills = left.filter(({ text }) => text.includes('"kills')).length;
    ms += kills * (world.plan.maxCrashes + 2) * 4 * world.plan.leaseMs;
  }
  return ms;
}

function isIdle({ ledger, slots }: World): boolean {
  if (ledger.live.size > 0) return false;
  for (const { groups } of ledger.queues.values()) {
    for (const { waiting } of groups.values()) if (waiting.length > 0) return false;
  }
  return slots.every(({ life }) => life === null || life.waiting.size === 0);
}

function isTold({ ledger, plan }: World): boolean {
  for (const { name, dead } of ledger.queues.values()) {
    const queue = plan.queues.find((one) => one.name === name);
    if (queue?.onDead === true && dead.some(({ told }) => !told)) return false;
  }
  return true;
}

function notDrained(world: World): ViolationError {
  const batches = [...world.ledger.live].map(({ id, state, readyBy }) => {
    return `batch ${id ?? "(child)"} ${state} ${readyBy}`;
  });
  const waiting = world.unfinished().filter(({ state }) => state === "waiting").length;
  const calls = world.slots.flatMap(({ life }) => [...(life?.waiting ?? [])]);
  const detail = `${waiting} items wait; ${batches.join(", ")}; calls: ${calls.join(", ")}`;
  return new ViolationError("drains when faults end", detail);
}

/** Everybody stops in good order, and leaves nothing behind. */
async function stopAll(world: World): Promise<void> {
  const { plan, slots } = world;
  const stopping = slots.flatMap(({ life }) => (life === null ? [] : [life]));
  for (const life of stopping) {
    if (life.state === "up") stop(world, life, plan.leaseMs);
  }
  const isOver = (): boolean => stopping.every(({ clock }) => clock.dead);
  for (let n = 0; n < 400 && !isOver(); n++) await pass(world, plan.leaseMs / 10);
  if (!isOver()) throw new ViolationError("I-19 nothing left after stop", "stop() did not end");
}
