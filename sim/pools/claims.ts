/** The ledger's account of claims: what was handed over, and what should have been. */
import { splitItems } from "../../packages/batchwork/src/core/codec.ts";
import { itemId } from "../../packages/batchwork/src/core/members.ts";
import type {
  ClaimedSlice,
  PoolClaim,
  PoolExchange,
  PoolExchanged,
} from "../../packages/batchwork/src/storage/pools.ts";
import type { TaskLedger } from "./ledger.ts";
import { checkPassedOver } from "./passed-over.ts";
import type { PoolRecord, SliceRecord, TaskRecord } from "./records.ts";

export function noteClaimed(
  ledger: TaskLedger,
  request: PoolExchange,
  exchanged: PoolExchanged,
): void {
  const { incarnation, claims, alone } = request;
  const { claimed, now } = exchanged;
  if (claimed.length > 0 && !ledger.incarnations.has(incarnation)) {
    ledger.fail("one lease at a time", `${incarnation} is dead, and claimed`);
  }
  checkCompany(ledger, claimed, alone);
  ledger.claims++;
  for (const one of claimed) lease(ledger, one, incarnation, now);
  for (const claim of claims) {
    const pool = ledger.pool(claim.queue);
    const slices = claimed.filter(({ queue }) => queue === claim.queue);
    checkLimits(ledger, pool, claim, slices, now);
    const before = claimed.indexOf(slices[0] as ClaimedSlice) > 0;
    checkBytes(ledger, claim, slices, before);
  }
  if (ledger.incarnations.has(incarnation)) checkPassedOver(ledger, request, exchanged);
}

function lease(ledger: TaskLedger, one: ClaimedSlice, owner: number, now: number): void {
  const { batch: id, token, queue, chunk, indices, payload, alone } = one;
  const pool = ledger.pool(queue);
  const what = `slice ${id} under token ${token}, of ${owner}`;
  if (token <= (ledger.tokens.get(id) ?? 0)) {
    ledger.fail("tokens increase", `${what}; it was ${ledger.tokens.get(id)}`);
  }
  ledger.tokens.set(id, token);
  if (pool.paused) ledger.fail("a paused pool starts nothing", what);
  if (ledger.slices.has(id)) ledger.fail("one lease at a time", `${what} is leased`);
  const tasks = new Map<number, TaskRecord>();
  const slice: SliceRecord = { id, token, owner, pool, alone, claim: ledger.claims, tasks };
  ledger.slices.set(id, slice);
  const texts = splitItems(payload as string);
  for (const [n, index] of indices.entries()) {
    const task = ledger.tasks.get(itemId(chunk, index));
    if (task === undefined || task.pool !== pool) {
      ledger.fail("a task is what was enqueued", `${what} has ${chunk}-${index}`);
      continue;
    }
    checkTask(ledger, task, one, texts[n], now);
    task.slice = slice;
    task.suspect = alone;
    task.crashes = one.crashes;
    task.grants++;
    tasks.set(index, task);
    pool.leased++;
    pool.ofKey.set(task.args.serialKey, (pool.ofKey.get(task.args.serialKey) ?? 0) + 1);
  }
}

function checkTask(
  ledger: TaskLedger,
  task: TaskRecord,
  { attempt, crashes, alone }: ClaimedSlice,
  text: string | undefined,
  now: number,
): void {
  const { id, slice, end } = task;
  if (end !== null) ledger.fail("what is over is over", `${id} is ${end.kind}, and was claimed`);
  if (slice !== null) ledger.fail("one lease at a time", `${id} is in slice ${slice.id}, too`);
  if (text !== task.text) ledger.fail("a task is what was enqueued", `${id} is now ${text}`);
  if (attempt !== task.attempt) {
    const detail = `${id} is in attempt ${attempt}, not ${task.attempt}`;
    ledger.fail("attempts are counted right", detail);
  }
  if (now < task.at) ledger.fail("not before its time", `${id} at ${now}, not ${task.at}`);
  if (crashes > task.deaths) {
    ledger.fail("crashes are counted right", `${id} has ${crashes} of ${task.deaths}`);
  }
  if (task.suspect !== null && task.suspect !== alone) {
    const detail = `${id} ${task.suspect ? "is" : "is not"} a suspect, and was claimed otherwise`;
    ledger.fail("suspects run apart", detail);
  }
}

/** Suspects are claimed by a process that runs nothing, with nothing else, and not too many. */
function checkCompany(ledger: TaskLedger, claimed: readonly ClaimedSlice[], alone: boolean): void {
  const suspects = claimed.filter((one) => one.alone);
  if (suspects.length === 0) return;
  if (!alone || suspects.length < claimed.length) {
    ledger.fail("suspects run apart", "a suspect was claimed with others, or by a busy process");
  }
  let most = Number.POSITIVE_INFINITY;
  let count = 0;
  for (const { chunk, indices } of suspects) {
    for (const index of indices) {
      const task = ledger.tasks.get(itemId(chunk, index));
      count++;
      if (task?.suspect === true) most = Math.min(most, task.company);
    }
  }
  if (count > most) ledger.fail("suspects run apart", `${count} together, ${most} may be`);
}

function checkLimits(
  ledger: TaskLedger,
  pool: PoolRecord,
  { limit, throttle, ...claim }: PoolClaim,
  slices: readonly ClaimedSlice[],
  now: number,
): void {
  const { name } = pool.plan;
  const count = slices.reduce((sum, { indices }) => sum + indices.length, 0);
  if (count > limit) ledger.fail("claims keep to their limits", `${count} tasks for ${limit}`);
  if (count === 0) return;
  const most = pool.override ?? claim.maxParallelism;
  if (pool.leased > most) {
    ledger.fail("never more than maxParallelism", `${name}: ${pool.leased} of ${most}`);
  }
  const keys = new Set(slices.flatMap(({ chunk, indices }) => keysOf(ledger, chunk, indices)));
  for (const key of keys) {
    const running = pool.ofKey.get(key) ?? 0;
    if (key === "" || running <= claim.concurrencyPerKey) continue;
    ledger.fail("never more of a key than may run", `${name}: ${running} of key "${key}"`);
  }
  if (throttle === undefined) return;
  pool.delivered = pool.delivered.filter((at) => at > now - throttle.durationMs);
  for (let n = 0; n < count; n++) pool.delivered.push(now);
  if (pool.delivered.length <= throttle.max) return;
  const detail = `${name}: ${pool.delivered.length} in ${throttle.durationMs} ms`;
  ledger.fail("throttle: no more in any span", detail);
}

function keysOf(ledger: TaskLedger, chunk: number, indices: readonly number[]): string[] {
  return indices.flatMap((index) => {
    const task = ledger.tasks.get(itemId(chunk, index));
    return task === undefined ? [] : [task.args.serialKey];
  });
}

/** A single task always moves; `before`: when nothing of another pool was claimed before it. */
function checkBytes(
  ledger: TaskLedger,
  { maxBytes }: PoolClaim,
  slices: readonly ClaimedSlice[],
  before: boolean,
): void {
  const count = slices.reduce((sum, { indices }) => sum + indices.length, 0);
  if (count <= 1 && !before) return;
  const bytes = slices.reduce((sum, { payload }) => sum + Buffer.byteLength(payload as string), 0);
  // What separates them counts for no task.
  if (bytes - 2 * count <= maxBytes) return;
  ledger.fail("claims keep to their limits", `${bytes} bytes for ${maxBytes}`);
}
