/** How the tasks of a slice ended, carried out under its token. */
import { joinItems, splitItems } from "../../core/codec.ts";
import { withoutIndices } from "../../core/indices.ts";
import type { CanceledTasks, TaskSettlement } from "../pools.ts";
import type { Payload } from "../storage.ts";
import { buryTasks, endTaskKeys, freeTasks, keepEnd, tell, type Scene } from "./pool-ends.ts";
import type { Slice } from "./slice.ts";

/** True when it counts. Adds the tasks that had been cancelled to `canceled`. */
export function settleSlice(
  scene: Scene,
  slice: Slice | undefined,
  settlement: TaskSettlement,
  canceled: CanceledTasks[],
): boolean {
  if (slice?.isLeasedUnder(settlement) !== true) return false;
  const { now } = scene;
  const { origin, attempt } = slice;
  const { pool } = origin;
  const held = new Set(slice.indices);
  const over = new Set<number>();
  const overruled: number[] = [];
  const counts = (index: number): boolean => {
    if (!held.has(index)) return false;
    over.add(index);
    if (!slice.canceled.has(index)) return true;
    overruled.push(index);
    return false;
  };
  const done = settlement.done.filter(counts);
  const values = select(settlement.values, settlement.done, new Set(done));
  keepEnd(scene, slice, done, { kind: "success", values, error: null });
  endTaskKeys(scene, slice, done);
  const dead = settlement.dead.filter(({ index }) => counts(index));
  buryTasks(scene, slice, dead, attempt);
  const counted = new Set([...done, ...dead.map(({ index }) => index)]);
  for (const again of settlement.again) {
    const indices = again.indices.filter(counts);
    for (const index of indices) counted.add(index);
    if (indices.length === 0) continue;
    const at = now + Math.ceil(again.delayMs);
    pool.wait(pool.add(origin, { indices, attempt: again.attempt, at }), now);
  }
  freeTasks(scene, slice, done.length + dead.length + overruled.length);
  tellOf(scene, slice, settlement, counted);
  shrink(slice, over);
  if (overruled.length > 0) {
    const indices = overruled.toSorted((a, b) => a - b);
    for (const index of indices) slice.canceled.delete(index);
    if (slice.canceled.size === 0) scene.data.canceling.delete(slice);
    canceled.push({ batch: slice.id, token: slice.token, indices });
  }
  return true;
}

/** Takes tasks out of a leased slice. */
function shrink(slice: Slice, over: ReadonlySet<number>): void {
  const { pool } = slice.origin;
  slice.indices = withoutIndices(slice.indices, over);
  if (slice.indices.length === 0) pool.remove(slice);
  if (over.size > 0) pool.ended(slice, over.size);
}

function tellOf(
  scene: Scene,
  { origin }: Slice,
  { callbacks }: TaskSettlement,
  counted: ReadonlySet<number>,
): void {
  if (callbacks === null) return;
  const payload = select(callbacks.payload, callbacks.indices, counted);
  if (callbacks.indices.some((index) => counted.has(index))) {
    tell(scene, origin.pool, payload as Payload);
  }
}

/** Of one value for each of `indices` those of the wanted ones. */
function select(
  values: Payload | null,
  indices: readonly number[],
  wanted: ReadonlySet<number>,
): Payload | null {
  if (values === null || indices.every((index) => wanted.has(index))) return values;
  const isWanted = (_: unknown, n: number): boolean => wanted.has(indices[n] as number);
  if (typeof values !== "string") return values.filter(isWanted);
  return joinItems(splitItems(values).filter(isWanted));
}
