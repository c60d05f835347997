/** What must hold after every step, and what must hold when the storage itself is asked. */
import type { Storage } from "batchwork";
import type { Clock } from "../packages/batchwork/src/core/clock.ts";
import { dueAt } from "./ledger/exchange.ts";
import type { GroupRecord, QueueRecord } from "./ledger/records.ts";
import { throttledUntil } from "./ledger/throttle.ts";
import type { Life } from "./life.ts";
import type { World } from "./world.ts";

/** A lease that no handler runs is noticed and given back within so many leases. */
const STRAY_LEASES = 10;
/** And this long besides, for a storage that fails several times in a row, ms. */
const STRAY_MS = 4000;
/** A process that was taken for dead has said that it lives within so many leases. */
const SLOW_LEASES = 2;
/** An engine that was told to stop has stopped after its grace and so long, in leases. */
const STOP_LEASES = 20;

/** A clock that adds nothing to what the storage knows of time. */
export const STILL: Clock = {
  wallMs: () => 0,
  monotonicMs: () => 0,
  after: () => ({ cancel: () => undefined }),
  soon: () => undefined,
  random: () => 0,
};

/** After every step. */
export function checkStep(world: World): void {
  checkLeases(world);
  checkSlow(world);
  checkStopping(world);
}

/** A lease is held by somebody who runs the batch, or will soon notice that nobody does. */
function checkLeases({ ledger, scheduler, plan, lifeOf }: World): void {
  const bound = STRAY_LEASES * plan.leaseMs + STRAY_MS;
  for (const { grant, id } of ledger.live) {
    const life = grant === null ? null : lifeOf(grant.life);
    if (grant === null || life?.up !== true) continue;
    const { delivery } = grant;
    if (delivery !== undefined && delivery.endedAt === null) continue;
    const idleSince = Math.max(delivery?.endedAt ?? grant.at, life.freeSince);
    if (scheduler.now - idleSince <= bound) continue;
    const detail = `${life.name} holds batch ${id} since ${idleSince.toFixed(0)} and runs nothing`;
    ledger.fail("lease that nobody runs", detail);
  }
}

/** A process that was taken for dead while it held batches, and lives, has said so. */
function checkSlow({ ledger, scheduler, plan, lifeOf, reliable }: World): void {
  const bound = reliable ? SLOW_LEASES * plan.leaseMs : STRAY_LEASES * plan.leaseMs + STRAY_MS;
  for (const incarnation of ledger.slandered) {
    const { id, life: number, buriedAt } = incarnation;
    const life = lifeOf(number);
    if (life?.up !== true || buriedAt === null) continue;
    if (scheduler.now - Math.max(buriedAt, life.freeSince) <= bound) continue;
    ledger.fail("slow is not dead", `${life.name} lives, but incarnation ${id} counts as crashed`);
  }
}

function checkStopping({ ledger, scheduler, plan, slots }: World): void {
  for (const { life } of slots) {
    if (life?.state !== "stopping" || life.clock.paused) continue;
    if (scheduler.now - life.freeSince <= STOP_LEASES * plan.leaseMs + STRAY_MS) continue;
    ledger.fail("I-19 nothing left after stop", `${life.name} was told to stop and has not`);
  }
}

/** When nothing goes wrong, what is due is claimed so soon after everybody heard of it, ms. */
const IN_TIME_MS = 50;

/** After every step of a run in which nothing goes wrong. */
export function checkInTime(world: World): void {
  const { ledger, plan, scheduler } = world;
  for (const queue of ledger.queues.values()) {
    const { claim, groups, paused, name } = queue;
    const now = scheduler.wallMs(0);
    const room =
      !paused && world.slots.some(({ life }) => life !== null && hasRoom(world, life, queue));
    for (const group of groups.values()) {
      const claimable =
        claim !== null &&
        room &&
        group.leased < claim.groupConcurrency &&
        dueAt(group, claim) <= now &&
        throttledUntil(queue, claim, now) <= now;
      if (!claimable) group.claimableSince = null;
      else group.claimableSince ??= scheduler.now;
      const since = group.claimableSince ?? scheduler.now;
      const { tickIntervalMs, pollMs, faults } = plan;
      // Once something else makes it due as well, such as a flush, that is when it is heard of.
      if (faults.deaf || isFilledByMany(group, now)) group.knownSince = null;
      else group.knownSince ??= scheduler.now;
      const known = group.knownSince !== null;
      const late = scheduler.now - Math.max(since, group.knownSince ?? since);
      if (late <= (known ? pollMs : tickIntervalMs) + IN_TIME_MS) continue;
      const detail = `group "${group.name}" of ${name} is due, and somebody has room`;
      ledger.fail("claim: in time", `${detail}, for ${late.toFixed(0)} ms`);
    }
  }
}

/**
 * Several processes filled it, none of them alone, and nothing else makes it due: whoever added the
 * last item does not know that it is full, and finds out at its next regular look.
 */
function isFilledByMany({ waiting }: GroupRecord, now: number): boolean {
  const [oldest] = waiting;
  if (oldest === undefined || oldest.flushed || oldest.dueAt <= now) return false;
  return waiting.some(({ by }) => by !== oldest.by);
}

function hasRoom({ ledger, plan }: World, life: Life, { id, name }: QueueRecord): boolean {
  if (!life.up || !life.started) return false;
  const most = plan.queues.find((queue) => queue.name === name)?.concurrency ?? 0;
  let held = 0;
  for (const { grant, queue } of ledger.live) {
    if (grant?.life === life.number && queue === id) held++;
  }
  return held < most;
}

/** Asks the storage and compares with the ledger. */
export async function audit(world: World, storage: Storage): Promise<void> {
  const { ledger, store } = world;
  for (const queue of ledger.queues.values()) await auditQueue(world, storage, queue);
  let due = 0;
  for (const { queue, state } of ledger.byUid.values()) {
    if (state === "done" && ledger.queue(queue).policy.transactional) due++;
  }
  const effects = store.effects();
  if (effects !== due) {
    ledger.fail("I-6 effects exactly once", `${effects} effects of ${due} finished items`);
  }
  for (const uids of world.calls) {
    const there = uids.filter((uid) => ledger.byUid.has(uid)).length;
    if (there === 0 || there === uids.length) continue;
    const detail = `${there} of the ${uids.length} items of one addBulk exist`;
    ledger.fail("add is all or nothing", detail);
  }
}

async function auditQueue(world: World, storage: Storage, queue: QueueRecord): Promise<void> {
  const { ledger } = world;
  const counts = await storage.counts(queue.id, null);
  const waiting = [...queue.groups.values()].filter((group) => group.waiting.length > 0);
  const ready = [...ledger.live].filter(
    ({ queue: id, state }) => id === queue.id && state === "ready",
  );
  const expected = {
    paused: queue.paused,
    waiting: waiting.reduce((sum, group) => sum + group.waiting.length, 0),
    groups: waiting.length,
    retrying: ready.length,
    leased: queue.leased,
    dead: queue.dead.length,
  };
  const { dueAt, ...actual } = counts;
  const said = JSON.stringify(actual, Object.keys(expected));
  if (said !== JSON.stringify(expected)) {
    const detail = `the storage says ${said}, it is ${JSON.stringify(expected)}`;
    ledger.fail("I-4 counts add up", `queue ${queue.name}: ${detail}`);
  }
  if ((dueAt === null) !== (waiting.length === 0)) {
    ledger.fail("I-4 counts add up", `queue ${queue.name}: due at ${dueAt}`);
  }
  const query = { queue: queue.id, group: null, after: 0, limit: Number.MAX_SAFE_INTEGER };
  const letters = (await storage.deadLetters(query)).map(({ payload }) => payload as string);
  const dead = new Set(queue.dead.map(({ text }) => text));
  if (letters.length !== dead.size || letters.some((text) => !dead.has(text))) {
    const detail = `queue ${queue.name}: ${letters.length} dead letters stored, ${dead.size} died`;
    ledger.fail("I-1 acknowledged items exist", detail);
  }
  const running = await storage.running(queue.id);
  const leased = new Set(
    [...ledger.live].filter(({ grant }) => grant !== null).map(({ id }) => id),
  );
  const wrong = running.find(({ batch }) => !leased.has(batch));
  if (wrong !== undefined || running.length !== queue.leased) {
    ledger.fail("I-4 counts add up", `queue ${queue.name}: ${running.length} batches run`);
  }
}
