/** What a claim left although it might have had it, and when it is to be looked at again. */
import type {
  PoolClaim,
  PoolExchange,
  PoolExchanged,
} from "../../packages/batchwork/src/storage/pools.ts";
import { itemId } from "../../packages/batchwork/src/core/members.ts";
import type { TaskLedger } from "./ledger.ts";
import type { PoolRecord, TaskRecord } from "./records.ts";

/** One claim of one pool: what it got, what waits after it, and what of that is due. */
interface Look {
  readonly pool: PoolRecord;
  readonly claim: PoolClaim;
  readonly tasks: readonly TaskRecord[];
  readonly waiting: readonly TaskRecord[];
  readonly due: readonly TaskRecord[];
}

/** To be called once what was claimed is noted. */
export function checkPassedOver(
  ledger: TaskLedger,
  { claims }: PoolExchange,
  exchanged: PoolExchanged,
): void {
  const { claimed, now } = exchanged;
  if (claimed.some(({ alone }) => alone)) return;
  for (const claim of claims) {
    const pool = ledger.pool(claim.queue);
    const slices = claimed.filter(({ queue }) => queue === claim.queue);
    const tasks = slices.flatMap(({ chunk, indices }) =>
      indices.flatMap((index) => ledger.tasks.get(itemId(chunk, index)) ?? []),
    );
    if (pool.paused) continue;
    // A process that was slow may have had some of them taken for suspects.
    const waiting = [...pool.live].filter((task) => task.slice === null && task.suspect === false);
    const due = waiting.filter(({ at }) => at <= now);
    const look = { pool, claim, tasks, waiting, due };
    for (const task of tasks) checkOrder(ledger, look, task);
    checkIdle(ledger, look, now);
    checkNext(ledger, look, exchanged);
  }
}

function checkOrder(ledger: TaskLedger, { pool, claim, due }: Look, task: TaskRecord): void {
  const { priority, serialKey } = task.args;
  for (const other of due) {
    const isOfKey = other.args.serialKey === serialKey && other.args.priority === priority;
    const what = `${task.id} before ${other.id}`;
    if (isOfKey && isBefore(other, task)) ledger.fail("order within a key", what);
    if (other.args.priority < priority && hasRoom(pool, claim, other)) {
      ledger.fail("priority goes first", what);
    }
  }
}

function isBefore(one: TaskRecord, other: TaskRecord): boolean {
  if (one.at !== other.at) return one.at < other.at;
  if (one.chunk !== other.chunk) return one.chunk < other.chunk;
  return one.index < other.index;
}

function hasRoom(pool: PoolRecord, claim: PoolClaim, { args }: TaskRecord): boolean {
  const running = pool.ofKey.get(args.serialKey) ?? 0;
  return args.serialKey === "" || running < claim.concurrencyPerKey;
}

/** Where no limit was reached nothing is left that might run. */
function checkIdle(ledger: TaskLedger, { pool, claim, tasks, due }: Look, now: number): void {
  if (claim.limit <= tasks.length || claim.maxBytes < Number.POSITIVE_INFINITY) return;
  if (pool.leased >= (pool.override ?? claim.maxParallelism)) return;
  if (throttledUntil(pool, claim.throttle, now) !== null) return;
  const left = due.find((task) => hasRoom(pool, claim, task));
  if (left === undefined) return;
  const detail = `${pool.plan.name}: ${left.id}, due at ${left.at}, is left at ${now}`;
  ledger.fail("nothing due is passed over", detail);
}

function checkNext(
  ledger: TaskLedger,
  { pool, claim, waiting }: Look,
  { nextAt, now }: PoolExchanged,
): void {
  const ats = waiting.filter((task) => task.at > now && hasRoom(pool, claim, task));
  if (ats.length === 0) return;
  const at = Math.min(...ats.map((task) => task.at));
  const latest = Math.max(at, throttledUntil(pool, claim.throttle, now) ?? at);
  if (nextAt !== null && nextAt <= latest) return;
  const detail = `${pool.plan.name}: to be looked at by ${latest}, not at ${nextAt}`;
  ledger.fail("the next look is not too late", detail);
}

/** When the throttle lets a task go again, storage time; `null` when it does now. */
export function throttledUntil(
  { delivered }: PoolRecord,
  throttle: PoolClaim["throttle"],
  now: number,
): number | null {
  if (throttle === undefined) return null;
  const inSpan = delivered.filter((at) => at > now - throttle.durationMs);
  const first = inSpan.at(-throttle.max);
  return first === undefined ? null : first + throttle.durationMs;
}
