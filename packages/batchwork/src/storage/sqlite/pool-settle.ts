/** How the tasks of a slice ended, carried out under its token. */
import { joinItems, splitItems } from "../../core/codec.ts";
import { withoutIndices } from "../../core/indices.ts";
import type { CanceledTasks, DeadTask, TasksAgain, TaskSettlement } from "../pools.ts";
import { buryTasks, endTaskKeys, freeTasks, keepSuccess, tell, type Ending } from "./pool-ends.ts";
import { KeyChanges } from "./pool-keys.ts";
import { PoolRows, type PoolRow } from "./pool-rows.ts";
import { heldIndices, isAllOf, packed, type SliceRow } from "./pool-slices.ts";
import type { Transaction } from "./transaction.ts";

/** What an exchange answers to settlements. */
export interface Settled {
  readonly settled: readonly ("settled" | "lost")[];
  /** Tasks that had been cancelled. */
  readonly canceled: readonly CanceledTasks[];
}

/** Settles each; the answers are position by position. */
export function settleTasks(tx: Transaction, settlements: readonly TaskSettlement[]): Settled {
  const settler = new Settler(tx);
  const settled = settlements.map((settlement) => settler.settle(settlement));
  settler.save();
  return { settled, canceled: settler.canceled };
}

const NOBODY: ReadonlySet<number> = new Set();

class Settler {
  readonly canceled: CanceledTasks[] = [];
  readonly #tx: Transaction;
  readonly #keys: KeyChanges;
  readonly #pools: PoolRows;
  readonly #anyCancel: boolean;

  constructor(tx: Transaction) {
    this.#tx = tx;
    this.#keys = new KeyChanges(tx);
    this.#pools = new PoolRows(tx.sql);
    this.#anyCancel = tx.sql.anyCancel.get() !== undefined;
  }

  settle(settlement: TaskSettlement): "settled" | "lost" {
    const { batch, token } = settlement;
    const slice = this.#tx.sql.slice.get(batch) as SliceRow | undefined;
    if (slice?.state !== "leased" || slice.token !== token) return "lost";
    const pool = this.#pools.get(slice.queue);
    const gone = this.#anyCancel ? this.#cancelsOf(slice) : NOBODY;
    const { done, again, dead } = settlement;
    if (gone.size === 0 && isAllOf(slice, done)) this.#finish(slice, pool, settlement);
    else if (done.length + again.length + dead.length > 0) {
      this.#settleSome(slice, pool, settlement, gone);
    }
    return "settled";
  }

  save(): void {
    this.#keys.save();
  }

  /** Each task of the slice succeeded. */
  #finish(slice: SliceRow, pool: PoolRow, { done, values, callbacks }: TaskSettlement): void {
    const ending = { slice, pool, indices: done };
    keepSuccess(this.#tx, ending, values as string | null);
    if (callbacks !== null) tell(this.#tx, pool, callbacks.payload as string);
    endTaskKeys(this.#tx, ending);
    freeTasks(this.#tx, slice.chunk, done);
    this.#tx.sql.deleteSlice.run(slice.id);
    this.#keys.ended(slice.queue, slice.key, done.length);
  }

  #settleSome(
    slice: SliceRow,
    pool: PoolRow,
    settlement: TaskSettlement,
    gone: ReadonlySet<number>,
  ): void {
    const tx = this.#tx;
    const held = new Set(heldIndices(slice));
    const counts = (index: number): boolean => held.has(index) && !gone.has(index);
    const dead = settlement.dead.filter(({ index }) => counts(index));
    const done = this.#succeed({ slice, pool, indices: settlement.done }, settlement, counts);
    buryTasks(tx, { slice, pool, indices: [] }, dead, slice.attempt);
    const retried = settlement.again.flatMap((tasks) => this.#again(slice, tasks, counts));
    tellOf(tx, pool, settlement, counts);
    const canceled = named(settlement).filter((index) => held.has(index) && gone.has(index));
    const over = [...done, ...dead.map(({ index }: DeadTask) => index), ...canceled];
    freeTasks(
      tx,
      slice.chunk,
      over.toSorted((a, b) => a - b),
    );
    this.#shrink(slice, held, new Set([...over, ...retried]));
    this.#overruled(slice, canceled);
  }

  /** Returns the tasks that did succeed. */
  #succeed(
    ending: Ending,
    { done, values }: TaskSettlement,
    counts: (index: number) => boolean,
  ): readonly number[] {
    const indices = done.filter(counts);
    let texts = values as string | null;
    if (texts !== null && indices.length < done.length) {
      texts = joinItems(splitItems(texts).filter((_, n) => counts(done[n] as number)));
    }
    keepSuccess(this.#tx, { ...ending, indices }, texts);
    endTaskKeys(this.#tx, { ...ending, indices });
    return indices;
  }

  /** Returns the tasks that go on. Their crash record is clean: the handler ended. */
  #again(
    slice: SliceRow,
    { indices, attempt, delayMs }: TasksAgain,
    counts: (index: number) => boolean,
  ): readonly number[] {
    const { sql, now } = this.#tx;
    const kept = indices.filter(counts);
    if (kept.length === 0) return kept;
    const { queue, chunk, key, priority, keyed } = slice;
    const { first, count, list } = packed(kept);
    const runAt = now + Math.ceil(delayMs);
    const state = runAt > now ? "delayed" : "ready";
    sql.insertAgain.run(
      queue,
      chunk,
      key,
      priority,
      state,
      runAt,
      first,
      count,
      list,
      attempt,
      keyed,
    );
    if (state === "ready") this.#keys.readied(queue, key, priority);
    return kept;
  }

  #shrink(slice: SliceRow, held: ReadonlySet<number>, over: ReadonlySet<number>): void {
    if (over.size === 0) return;
    const left = withoutIndices([...held], over);
    this.#keys.ended(slice.queue, slice.key, over.size);
    if (left.length === 0) {
      this.#tx.sql.deleteSlice.run(slice.id);
      return;
    }
    const { first, count, list } = packed(left);
    this.#tx.sql.shrinkSlice.run(first, count, list, slice.id);
  }

  #overruled({ id, token }: SliceRow, indices: readonly number[]): void {
    if (indices.length === 0) return;
    for (const index of indices) this.#tx.sql.dropCancel.run(id, index);
    this.canceled.push({ batch: id, token, indices });
  }

  #cancelsOf({ id }: SliceRow): ReadonlySet<number> {
    return canceledIn(this.#tx, id);
  }
}

/** The tasks of a leased slice that were cancelled. */
export function canceledIn({ sql }: Transaction, slice: number): ReadonlySet<number> {
  const rows = sql.cancelsOf.all(slice) as { readonly idx: number }[];
  return new Set(rows.map(({ idx }) => idx));
}

/** Every task that a settlement names. */
function named({ done, again, dead }: TaskSettlement): number[] {
  const indices = [...done, ...dead.map(({ index }) => index)];
  for (const tasks of again) indices.push(...tasks.indices);
  return indices.toSorted((a, b) => a - b);
}

function tellOf(
  tx: Transaction,
  pool: PoolRow,
  { callbacks }: TaskSettlement,
  counts: (index: number) => boolean,
): void {
  if (callbacks === null || pool.callbacks === null) return;
  const { indices } = callbacks;
  const texts = splitItems(callbacks.payload as string);
  const kept = texts.filter((_, n) => counts(indices[n] as number));
  if (kept.length > 0) tell(tx, pool, joinItems(kept));
}
