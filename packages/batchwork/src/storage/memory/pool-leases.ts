/** Giving slices back, and what becomes of those whose process died. */
import { BatchworkError, type StoredError } from "../../core/errors.ts";
import { withoutIndices } from "../../core/indices.ts";
import { isDeadly, type Lease } from "../../core/lease.ts";
import { afterTaskCrash } from "../../core/task-crash.ts";
import type { MemoryData } from "./data.ts";
import { freeTasks, killTasks, type Scene } from "./pool-ends.ts";
import type { Slice } from "./slice.ts";

export function releaseSlices({ data, now }: Scene, leases: readonly Lease[]): void {
  for (const lease of leases) {
    const slice = data.slices.get(lease.batch);
    if (slice?.isLeasedUnder(lease) === true) giveBack({ data, now }, slice);
  }
}

/** Releases what the incarnation holds unknowingly; returns what it only believes to hold. */
export function reconcileSlices(
  { data, now }: Scene,
  incarnation: number,
  known: readonly Lease[],
): Lease[] {
  const tokens = new Map(known.map(({ batch, token }) => [batch, token]));
  for (const slice of slicesHeldBy(data, incarnation)) {
    if (tokens.get(slice.id) !== slice.token) giveBack({ data, now }, slice);
  }
  return known.filter((lease) => {
    const slice = data.slices.get(lease.batch);
    return slice?.isLeasedUnder(lease) !== true || slice.owner !== incarnation;
  });
}

/** The owner died. Returns how many slices wait again, and how many tasks are dead letters. */
export function crashSlices(
  scene: Scene,
  incarnation: number,
  maxCrashes: number,
): { readonly released: number; readonly dead: number } {
  const held = slicesHeldBy(scene.data, incarnation);
  let running = 0;
  for (const { indices } of held) running += indices.length;
  let released = 0;
  let dead = 0;
  for (const slice of held) {
    const { company: before, crashes: crashesBefore, alone, origin } = slice;
    const { company, crashes } = afterTaskCrash(slice, running, alone);
    end(scene, slice);
    if (slice.indices.length === 0) continue;
    slice.crashes = crashes;
    if (isDeadly({ suspect: true, crashes }, maxCrashes)) {
      killTasks(scene, slice, crashedError(crashes));
      freeTasks(scene, slice, slice.indices.length);
      origin.pool.remove(slice);
      dead += slice.indices.length;
    } else {
      slice.company = company;
      slice.suspicion = { incarnation, company: before, crashes: crashesBefore };
      origin.pool.wait(slice, scene.now);
      released++;
    }
  }
  return { released, dead };
}

/** Takes back what was held against slices because of one incarnation. */
export function absolveSlices({ data, now }: Scene, incarnation: number): void {
  for (const slice of data.slices.values()) {
    const { suspicion, state, origin } = slice;
    if (state !== "suspect" || suspicion?.incarnation !== incarnation) continue;
    origin.pool.leave(slice);
    slice.company = suspicion.company;
    slice.crashes = suspicion.crashes;
    slice.suspicion = null;
    origin.pool.wait(slice, now);
  }
}

function slicesHeldBy(data: MemoryData, incarnation: number): Slice[] {
  return [...data.slices.values()].filter(({ owner }) => owner === incarnation);
}

function giveBack(scene: Scene, slice: Slice): void {
  end(scene, slice);
  if (slice.indices.length > 0) slice.origin.pool.wait(slice, scene.now);
}

/** The lease is over. Cancelled tasks do not go on. */
function end(scene: Scene, slice: Slice): void {
  const { pool } = slice.origin;
  const leased = slice.indices.length;
  slice.indices = withoutIndices(slice.indices, slice.canceled);
  freeTasks(scene, slice, slice.canceled.size);
  slice.canceled.clear();
  scene.data.canceling.delete(slice);
  slice.owner = null;
  if (slice.indices.length === 0) pool.remove(slice);
  pool.ended(slice, leased);
}

/** Without a stack: it would show this file, where nothing is wrong. */
function crashedError(crashes: number): StoredError {
  const message = `The process died ${crashes} times while it ran this task alone.`;
  const { name, code } = new BatchworkError("CRASHED", message);
  return { name, message, code };
}
