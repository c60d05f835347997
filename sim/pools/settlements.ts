/** The ledger's account of settlements: under which token, and how tasks ended. */
import { splitItems } from "../../packages/batchwork/src/core/codec.ts";
import type {
  CanceledTasks,
  PoolExchange,
  PoolExchanged,
  TaskSettlement,
} from "../../packages/batchwork/src/storage/pools.ts";
import type { TaskLedger } from "./ledger.ts";
import type { SliceRecord, TaskRecord } from "./records.ts";
import type { SimReturn } from "./task.ts";

export function noteSettled(
  ledger: TaskLedger,
  { incarnation, settlements }: PoolExchange,
  { settled, now }: PoolExchanged,
): void {
  for (const [n, settlement] of settlements.entries()) {
    const { batch, token } = settlement;
    const slice = ledger.slices.get(batch);
    const current = slice?.token === token && ledger.incarnations.has(incarnation);
    const what = `slice ${batch} under token ${token}, by ${incarnation}`;
    if (settled[n] === "settled" && !current) {
      ledger.fail("only the current token writes", `${what}; it is ${slice?.token}`);
    } else if (settled[n] !== "settled" && current) {
      ledger.fail("the current token is heard", what);
    } else if (current) settle(ledger, slice, settlement, now);
  }
}

function settle(
  ledger: TaskLedger,
  slice: SliceRecord,
  { done, values, again, dead }: TaskSettlement,
  now: number,
): void {
  const returned = values === null ? null : splitItems(values as string);
  for (const [n, index] of done.entries()) {
    const task = counting(ledger, slice, index);
    if (task !== null) succeed(ledger, task, returned?.[n]);
  }
  for (const { index } of dead) {
    const task = counting(ledger, slice, index);
    if (task !== null) fail(ledger, task);
  }
  for (const { indices, attempt, delayMs } of again) {
    for (const index of indices) {
      const task = counting(ledger, slice, index);
      if (task === null) continue;
      checkRan(ledger, task);
      if (attempt !== task.attempt + 1 || attempt > task.args.maxAttempts) {
        const detail = `${task.id} goes on with attempt ${attempt} after ${task.attempt}`;
        ledger.fail("attempts are counted right", detail);
      }
      ledger.freed(task);
      task.attempt = attempt;
      task.at = now + Math.ceil(delayMs);
      task.suspect = false;
      task.crashes = 0;
    }
  }
}

/** The task at this index, if how it ended counts; one that was cancelled gives up its place. */
function counting(ledger: TaskLedger, slice: SliceRecord, index: number): TaskRecord | null {
  const task = slice.tasks.get(index);
  if (task === undefined) return null;
  if (!task.canceled) return task;
  ledger.freed(task);
  return null;
}

function succeed(ledger: TaskLedger, task: TaskRecord, text: string | undefined): void {
  checkRan(ledger, task);
  const value = text === undefined ? null : (JSON.parse(text) as SimReturn);
  const { keepsResults, told } = task.pool.plan;
  const isKept = keepsResults || told !== "nobody";
  if (isKept && (value?.uid !== task.args.uid || value.attempt !== task.attempt)) {
    const detail = `${task.id} (${task.args.uid}), attempt ${task.attempt}, returned ${text}`;
    ledger.fail("results are right and stay", detail);
  }
  ledger.ended(task, { kind: "success", value });
  ledger.freed(task);
}

function fail(ledger: TaskLedger, task: TaskRecord): void {
  checkRan(ledger, task);
  const { fate, maxAttempts } = task.args;
  const isFinal = fate.kind === "works" && fate.final;
  if (task.attempt < maxAttempts && !isFinal) {
    const detail = `${task.id} failed for good in attempt ${task.attempt} of ${maxAttempts}`;
    ledger.fail("attempts are counted right", detail);
  }
  ledger.ended(task, { kind: "failed", crashed: false });
  ledger.freed(task);
}

function checkRan(ledger: TaskLedger, { ran, attempt, id }: TaskRecord): void {
  if (ran.has(attempt)) return;
  ledger.fail("no end without a run", `nobody ran attempt ${attempt} of ${id}`);
}

/** Whoever holds cancelled tasks is told of each of them. */
export function checkCanceled(
  ledger: TaskLedger,
  incarnation: number,
  canceled: readonly CanceledTasks[],
): void {
  const told = new Set(
    canceled.flatMap(({ batch, token, indices }) =>
      indices.map((index) => `${batch} ${token} ${index}`),
    ),
  );
  for (const { id, token, owner, tasks } of ledger.slices.values()) {
    if (owner !== incarnation) continue;
    for (const task of tasks.values()) {
      if (!task.canceled || told.has(`${id} ${token} ${task.index}`)) continue;
      const detail = `${task.id} was cancelled, and its process was not told`;
      ledger.fail("one of cancel and settle wins", detail);
    }
  }
}
