/** What happens to the world from outside in one step: work arrives, people call, things break. */
import { BatchworkError, type Batch } from "batchwork";
import type { SimItem } from "./item.ts";
import { addKeyed, repeatDue } from "./keyed.ts";
import type { Life } from "./life.ts";
import type { QueuePlan } from "./plan.ts";
import type { World } from "./world.ts";

/** No more items at a time than this, or long runs would spend their time on a backlog. */
const BACKLOG_MAX = 120;

/** What calls may reject with when storage calls fail and engines stop. */
const EXPECTED = new Set([
  "STORAGE_FAILED",
  "STORAGE_BUSY",
  "STOPPED",
  "PAUSED",
  // The ledger knows whether it is right.
  "KEY_CONFLICT",
  "QUEUE_FULL",
  "CALL_TOO_LARGE",
]);

/** One step. */
export function act(world: World): void {
  world.startDue();
  fault(world);
  const { plan, rng } = world;
  const up = world.up();
  if (up.length === 0) return;
  repeatDue(world, up, (life, error) => expect(world, life, "repeated add", error));
  if (rng.chance(plan.addRate) && world.unfinishedCount < BACKLOG_MAX) add(world, rng.pick(up));
  if (rng.chance(plan.controlRate)) control(world, rng.pick(up));
}

/** Adds one item or several. */
function add(world: World, life: Life): void {
  const { plan, rng } = world;
  const n = rng.whole(0, plan.queues.length - 1);
  const queue = plan.queues[n] as QueuePlan;
  const batch = life.batches[n] as Batch<SimItem>;
  const count = rng.chance(0.3) ? rng.whole(2, 12) : 1;
  const items = Array.from({ length: count }, () => world.newItem(queue).item);
  const uids = items.map(({ uid }) => uid);
  world.calls.push(uids);
  world.ledger.note(life.name, `add ${queue.name} [${uids.join(" ")}]`);
  if (plan.keyed > 0 && !queue.deduplicates && rng.chance(plan.keyed)) {
    addKeyed(world, life, n, items, (error) => expect(world, life, "keyed add", error));
    return;
  }
  const [first] = items as [SimItem];
  void (async () => {
    try {
      const results = count === 1 ? [await batch.add(first)] : await batch.addBulk(items);
      for (const [index, { id }] of results.entries()) {
        world.acknowledge(items[index] as SimItem, id);
      }
    } catch (error) {
      expect(world, life, "add", error);
    }
  })();
}

function control(world: World, life: Life): void {
  const { rng } = world;
  const batch = rng.pick(life.batches);
  const draw = rng.unit();
  if (draw < 0.35) callFlush(world, life, batch);
  else if (draw < 0.42) callDrain(world, life, batch);
  else if (draw < 0.52) settleCall(world, life, `pause ${batch.name}`, batch.pause());
  else if (draw < 0.68) settleCall(world, life, `resume ${batch.name}`, batch.resume());
  else if (draw < 0.76) {
    settleCall(world, life, `redrive ${batch.name}`, batch.deadLetters.redrive("all"));
  } else if (draw < 0.79) {
    settleCall(world, life, `discard ${batch.name}`, batch.deadLetters.discard("all"));
  } else if (draw < 0.84) settleCall(world, life, `status ${batch.name}`, batch.status());
  else if (draw < 0.89) settleCall(world, life, "tick", life.engine.tick());
  else if (draw < 0.92) settleCall(world, life, "buffer", batch.getBufferSize());
  else stop(world, life, rng.between(0, 2 * world.plan.leaseMs));
}

/** `flush()` resolves when the first attempt of everything present has ended. */
function callFlush(world: World, life: Life, batch: Batch<SimItem>): void {
  const { rng, plan, ledger } = world;
  const groups = plan.queues.find(({ name }) => name === batch.name)?.groups ?? [];
  const group = groups.length > 0 && rng.chance(0.5) ? rng.pick(groups) : undefined;
  const present = world
    .unfinished()
    .filter((item) => ledger.queue(item.queue).name === batch.name)
    .filter((item) => !item.attempted && (group === undefined || item.group === group))
    .map((item) => ({ item, ends: item.ends }));
  const what = `flush ${batch.name} ${group ?? "*"}`;
  const flush = async (): Promise<void> => {
    await batch.flush(group);
    const left = present.filter(({ item, ends }) => item.ends === ends && item.finishes === 0);
    const names = left.map(({ item }) => item.uid).join(" ");
    if (left.length > 0) ledger.fail("flush and drain mean it", `${what} left items ${names}`);
  };
  settleCall(world, life, what, flush());
}

/** `drain()` resolves when everything present is done or dead. */
function callDrain(world: World, life: Life, batch: Batch<SimItem>): void {
  const { ledger } = world;
  const present = world
    .unfinished()
    .filter((item) => ledger.queue(item.queue).name === batch.name)
    .map((item) => ({ item, finishes: item.finishes }));
  const what = `drain ${batch.name}`;
  const drain = async (): Promise<void> => {
    await batch.drain();
    const left = present.filter(({ item, finishes }) => item.finishes === finishes);
    const names = left.map(({ item }) => item.uid).join(" ");
    if (left.length > 0) ledger.fail("flush and drain mean it", `${what} left items ${names}`);
  };
  settleCall(world, life, what, drain());
}

/** Stops an engine in good order. Afterwards nothing of it may be left. */
export function stop(world: World, life: Life, graceMs: number): void {
  const { ledger } = world;
  life.state = "stopping";
  ledger.note(life.name, `stops, grace ${graceMs.toFixed(0)}`);
  life.freeSince = world.scheduler.now + graceMs;
  life.engine.stop({ graceMs }).then(
    () => stopped(world, life),
    (error: unknown) => {
      expect(world, life, "stop", error);
      stopped(world, life);
    },
  );
}

function stopped(world: World, life: Life): void {
  const { ledger, plan } = world;
  life.state = "stopped";
  ledger.note(life.name, "stopped");
  const held = [...ledger.live].filter(({ grant }) => grant?.life === life.number);
  if (world.reliable && held.length > 0) {
    const ids = held.map(({ id }) => id).join(" ");
    ledger.fail("I-19 nothing left after stop", `${life.name} stopped and holds batches ${ids}`);
  }
  if (life.clock.timers > 0) {
    const detail = `${life.name} stopped with ${life.clock.timers} timers set`;
    ledger.fail("I-19 nothing left after stop", detail);
  }
  // Calls that are with a slow storage come back first.
  life.beside.after(3 * plan.leaseMs, () => {
    if (life.waiting.size > 0) {
      const calls = [...life.waiting].join(", ");
      ledger.fail("I-19 nothing left after stop", `${life.name} never told ${calls}`);
    }
    world.bury(life);
  });
}

function settleCall(world: World, life: Life, what: string, call: Promise<unknown>): void {
  const mark = `${what} at ${world.scheduler.now.toFixed(2)}`;
  world.ledger.note(life.name, what);
  life.waiting.add(mark);
  call.then(
    () => life.waiting.delete(mark),
    (error: unknown) => {
      life.waiting.delete(mark);
      expect(world, life, what, error);
    },
  );
}

function expect(world: World, life: Life, what: string, error: unknown): void {
  const expected = error instanceof BatchworkError && EXPECTED.has(error.code);
  const detail = `${life.name} ${what}: ${error instanceof Error ? error.message : String(error)}`;
  world.ledger.note(life.name, `${what} rejected: ${detail}`);
  if (!expected) world.ledger.fail("uncaught error", detail);
}

function fault(world: World): void {
  const { rng, plan, scheduler, ledger } = world;
  const { crash, pause, clockStep, outage } = plan.faults;
  const alive = world.slots.flatMap(({ life }) => (life === null ? [] : [life]));
  if (rng.chance(clockStep)) {
    const ms = rng.between(-3, 3) * plan.leaseMs;
    const one = alive.length > 0 && rng.chance(0.3) ? rng.pick(alive) : null;
    if (one === null) scheduler.stepWall(ms);
    else one.clock.stepWall(ms);
    world.count("clockStep");
    ledger.note(one?.name ?? "machine", `wall clock steps by ${ms.toFixed(0)}`);
  }
  if (alive.length === 0) return;
  if (rng.chance(crash)) {
    world.count("crash");
    world.crash(rng.pick(alive), "crash");
  }
  if (rng.chance(pause)) suspend(world, rng.pick(alive), rng.between(0, 3) * plan.leaseMs);
  if (rng.chance(outage)) {
    const life = rng.pick(alive);
    life.outageUntil = scheduler.now + rng.between(0, 2) * plan.leaseMs;
    life.freeSince = Math.max(life.freeSince, life.outageUntil);
    world.count("outage");
    ledger.note(life.name, "storage is down for it");
  }
}

function suspend(world: World, life: Life, ms: number): void {
  if (life.clock.dead) return;
  life.clock.suspend(ms);
  life.freeSince = Math.max(life.freeSince, world.scheduler.now + ms);
  world.count("pause");
  world.ledger.note(life.name, `is suspended for ${ms.toFixed(0)}`);
}
