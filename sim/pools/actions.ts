/** What happens to the world of pools in one step: tasks arrive, people call, things break. */
import { BatchworkError } from "batchwork";
import type { PoolLife, SimPool } from "./life.ts";
import { CALL_MAX, type PoolPlan } from "./plan.ts";
import type { SimTask } from "./task.ts";
import type { PoolsWorld } from "./world.ts";

/** No more tasks at a time than this, or runs would spend their time on a backlog. */
const BACKLOG_MAX = 80;

/** What calls may reject with when storage calls fail and engines stop. */
const EXPECTED = new Set([
  "STORAGE_FAILED",
  "STORAGE_BUSY",
  "STOPPED",
  "RESULT_TIMEOUT",
  "QUEUE_FULL",
]);

/** One step. */
export function act(world: PoolsWorld): void {
  world.startDue();
  breakThings(world);
  const { plan, rng, ledger } = world;
  const up = world.up();
  if (up.length === 0) return;
  const live = ledger.unfinished().length;
  if (rng.chance(plan.enqueues) && live < BACKLOG_MAX) enqueue(world, rng.pick(up));
  if (rng.chance(plan.keyed) && world.repeats.length > 0) {
    const { pool, tasks } = rng.pick(world.repeats);
    send(world, rng.pick(up), pool, tasks);
  }
  if (rng.chance(plan.cancels)) cancelSome(world, rng.pick(up));
  if (rng.chance(plan.controls)) control(world, rng.pick(up));
}

/** Enqueues one task or several. */
function enqueue(world: PoolsWorld, life: PoolLife): void {
  const { plan, rng } = world;
  const pool = rng.whole(0, plan.pools.length - 1);
  const one = plan.pools[pool] as PoolPlan;
  const { maxAttempts } = one.retry;
  const common = {
    serialKey: rng.pick(one.keys),
    priority: rng.pick(one.priorities),
    afterMs: rng.chance(plan.delayed) ? rng.whole(0, 2 * plan.leaseMs) : 0,
    maxAttempts: rng.chance(0.2) ? rng.whole(1, 4) : maxAttempts,
  };
  const count = rng.chance(0.4) ? rng.whole(2, CALL_MAX) : 1;
  const isKeyed = rng.chance(plan.keyed);
  const tasks = world.newTasks(one, count, common, isKeyed);
  world.bulks.push(tasks.map(({ uid }) => uid));
  if (isKeyed) world.repeats.push({ pool, tasks });
  send(world, life, pool, tasks);
}

export function send(
  world: PoolsWorld,
  life: PoolLife,
  n: number,
  tasks: readonly SimTask[],
): void {
  const pool = life.pools[n] as SimPool;
  const { retry } = world.plan.pools[n] as PoolPlan;
  const [first] = tasks as [SimTask];
  const { serialKey, priority, afterMs, maxAttempts, key } = first;
  const when = world.rng.chance(0.3)
    ? { runAt: life.clock.wallMs() + afterMs }
    : { runAfter: afterMs };
  const options = {
    ...(serialKey === "" ? {} : { serialKey }),
    ...(priority === 0 ? {} : { priority }),
    ...(afterMs === 0 ? {} : when),
    ...(maxAttempts === retry.maxAttempts ? {} : { retry: { ...retry, maxAttempts } }),
  };
  const uids = tasks.map(({ uid }) => uid).join(" ");
  const call = { ...options, context: first.call };
  settle(world, life, `enqueue ${pool.name} [${uids}]`, async () => {
    if (tasks.length > 1) {
      const idempotencyKey = key === "" ? undefined : ({ key: one }: SimTask): string => one;
      const ids = await pool.enqueueBatch("work", tasks, { ...call, idempotencyKey });
      for (const [index, id] of ids.entries()) world.acknowledge(tasks[index] as SimTask, id);
    } else {
      const idempotencyKey = key === "" ? undefined : key;
      world.acknowledge(first, await pool.enqueue("work", first, { ...call, idempotencyKey }));
    }
  });
}

function cancelSome(world: PoolsWorld, life: PoolLife): void {
  const { rng, ledger } = world;
  const recent = [...ledger.tasks.values()].slice(-BACKLOG_MAX);
  if (recent.length === 0) return;
  const { pool } = rng.pick(recent);
  const ofPool = recent.filter((task) => task.pool === pool);
  const ids = Array.from({ length: rng.pick([1, 1, 2, 5]) }, () => rng.pick(ofPool).id);
  const own = life.pools.find(({ name }) => name === pool.plan.name);
  settle(world, life, `cancel ${ids.join(" ")}`, async () => own?.cancelBatch([...new Set(ids)]));
}

function control(world: PoolsWorld, life: PoolLife): void {
  const { rng, plan } = world;
  const pool = rng.pick(life.pools);
  const draw = rng.unit();
  const call = (what: string, run: () => Promise<unknown>): void =>
    settle(world, life, `${what} ${pool.name}`, run);
  if (draw < 0.1) call("pause", async () => pool.pause());
  else if (draw < 0.25) call("resume", async () => pool.resume());
  else if (draw < 0.5) {
    const maxParallelism = rng.pick([0, 1, 2, 4, 10, null]);
    call(`allow ${maxParallelism} of`, async () => pool.config.update({ maxParallelism }));
  } else if (draw < 0.55) call("cancel all of", async () => pool.cancelAll());
  else if (draw < 0.6) call("stats of", async () => pool.stats());
  else if (draw < 0.65) call("explain", async () => pool.explain());
  else if (draw < 0.7) call("tick", async () => life.engine.tick());
  else if (draw < 0.9) awaitResult(world, life, pool);
  else stop(world, life, rng.between(0, 2 * plan.leaseMs));
}

/** Waits for a result, which must be the one that is kept. */
function awaitResult(world: PoolsWorld, life: PoolLife, pool: SimPool): void {
  const { rng, ledger, plan } = world;
  const tasks = [...ledger.tasks.values()].filter((one) => one.pool.plan.name === pool.name);
  if (tasks.length === 0) return;
  const task = rng.pick(tasks.slice(-BACKLOG_MAX));
  settle(world, life, `result ${task.id}`, async () => {
    const { keepsResults } = task.pool.plan;
    try {
      const { kind } = await pool.result(task.id, { timeoutMs: 2 * plan.leaseMs });
      if (kind === task.end?.kind) return;
      const detail = `${task.id} is told as ${kind}, not ${task.end?.kind}`;
      ledger.fail("results are right and stay", detail);
    } catch (error) {
      const isForgotten = error instanceof BatchworkError && error.code === "RESULT_UNKNOWN";
      if (!isForgotten || keepsResults) throw error;
    }
  });
}

/** Stops an engine in good order. Afterwards nothing of it may be left. */
export function stop(world: PoolsWorld, life: PoolLife, graceMs: number): void {
  life.state = "stopping";
  world.note(life.name, `stops, grace ${graceMs.toFixed(0)}`);
  life.engine.stop({ graceMs }).then(
    () => stopped(world, life),
    () => stopped(world, life),
  );
}

function stopped(world: PoolsWorld, life: PoolLife): void {
  const { ledger, plan } = world;
  life.state = "stopped";
  world.note(life.name, "stopped");
  const { lostReply, ioError, busy, outage } = plan.faults;
  const isReliable = lostReply + ioError + busy + outage === 0 || !world.control.on;
  const held = [...ledger.slices.values()].filter(
    ({ owner }) => ledger.incarnations.get(owner) === life.number,
  );
  if (isReliable && held.length > 0) {
    const detail = `${life.name} stopped and holds slices ${held.map(({ id }) => id).join(" ")}`;
    ledger.fail("nothing left after stop", detail);
  }
  // Calls that are with a slow storage come back first, and those who wait are told of the end.
  life.beside.after(3 * plan.leaseMs, () => {
    if (life.clock.timers > 0) {
      const detail = `${life.name} stopped with ${life.clock.timers} timers set`;
      ledger.fail("nothing left after stop", detail);
    }
    if (life.waiting.size > 0) {
      const detail = `${life.name} never told ${[...life.waiting].join(", ")}`;
      ledger.fail("nothing left after stop", detail);
    }
    world.bury(life);
  });
}

/** Makes a call, and looks at how it rejects. */
export function settle(
  world: PoolsWorld,
  life: PoolLife,
  what: string,
  run: () => Promise<unknown>,
): void {
  const mark = `${what} at ${world.scheduler.now.toFixed(2)}`;
  world.note(life.name, what);
  life.waiting.add(mark);
  void (async () => {
    try {
      await run();
    } catch (error) {
      const isExpected = error instanceof BatchworkError && EXPECTED.has(error.code);
      world.note(life.name, `${what} rejected: ${String(error)}`);
      if (!isExpected) world.ledger.fail("uncaught error", `${what}: ${String(error)}`);
    }
    life.waiting.delete(mark);
  })();
}

function breakThings(world: PoolsWorld): void {
  const { rng, plan, scheduler } = world;
  const { crash, pause, clockStep, outage } = plan.faults;
  const alive = world.alive();
  if (rng.chance(clockStep)) {
    const ms = rng.between(-3, 3) * plan.leaseMs;
    const one = alive.length > 0 && rng.chance(0.3) ? rng.pick(alive) : null;
    if (one === null) scheduler.stepWall(ms);
    else one.clock.stepWall(ms);
    world.count("clockStep");
    world.note(one?.name ?? "machine", `wall clock steps by ${ms.toFixed(0)}`);
  }
  if (alive.length === 0) return;
  if (rng.chance(crash)) {
    world.count("crash");
    world.crash(rng.pick(alive), "crash");
  }
  if (rng.chance(pause)) {
    const life = rng.pick(alive);
    const ms = rng.between(0, 3) * plan.leaseMs;
    world.count("pause");
    world.note(life.name, `is suspended for ${ms.toFixed(0)}`);
    if (!life.clock.dead) life.clock.suspend(ms);
  }
  if (rng.chance(outage)) {
    const life = rng.pick(alive);
    life.outageUntil = scheduler.now + rng.between(0, 2) * plan.leaseMs;
    world.count("outage");
    world.note(life.name, "storage is down for it");
  }
}
