/** Cancelling tasks, and finding out where they are. */
import { withoutIndices } from "../../core/indices.ts";
import { knownPlaceOf } from "../../core/members.ts";
import type { CancelAnswer, FoundTask } from "../pools.ts";
import { cancelTasks, freeTasks, type Scene } from "./pool-ends.ts";
import type { Pool } from "./pool.ts";
import type { Slice } from "./slice.ts";

export function cancel(scene: Scene, pool: Pool, ids: readonly string[]): CancelAnswer[] {
  const answers = new Map<string, CancelAnswer>();
  const wanted = new Map<Slice, number[]>();
  for (const id of ids) {
    const place = knownPlaceOf(id);
    if (place === null || answers.has(id)) continue;
    const { chunk, index } = place;
    const slice = sliceOf(pool, chunk, index);
    if (pool.results.get(chunk, index, scene.now) !== null) answers.set(id, "finished");
    else if (slice === null) answers.set(id, "unknown");
    else if (slice.canceled.has(index)) answers.set(id, "finished");
    else {
      answers.set(id, slice.state === "leased" ? "canceling" : "canceled");
      wanted.set(slice, [...(wanted.get(slice) ?? []), index]);
    }
  }
  for (const [slice, indices] of wanted) {
    cancelInSlice(
      scene,
      slice,
      indices.toSorted((a, b) => a - b),
    );
  }
  const told = new Set<string>();
  return ids.map((id) => {
    const answer = answers.get(id) ?? "unknown";
    // Named twice: the second time it was over.
    if (told.has(id) && answer !== "unknown") return "finished";
    told.add(id);
    return answer;
  });
}

export function cancelAll(
  scene: Scene,
  pool: Pool,
  slices: number,
): { canceled: number; more: boolean } {
  const some = slicesIn(scene, pool)
    .filter(({ indices, canceled }) => indices.length > canceled.size)
    .slice(0, slices);
  let canceled = 0;
  for (const slice of some) {
    const indices = withoutIndices(slice.indices, slice.canceled);
    canceled += indices.length;
    cancelInSlice(scene, slice, indices);
  }
  return { canceled, more: some.length === slices };
}

/** The slices of a pool in order of their tasks' ids. */
export function slicesIn({ data }: Scene, pool: Pool): Slice[] {
  return [...data.slices.values()]
    .filter(({ origin }) => origin.pool === pool)
    .toSorted((a, b) => {
      const chunks = a.origin.chunk.id - b.origin.chunk.id;
      return chunks === 0 ? (a.indices[0] as number) - (b.indices[0] as number) : chunks;
    });
}

export function findTasks(scene: Scene, pool: Pool, ids: readonly string[]): FoundTask[] {
  return ids.map((id) => {
    const place = knownPlaceOf(id);
    if (place === null) return { status: "unknown" };
    const { chunk, index } = place;
    const result = pool.results.get(chunk, index, scene.now);
    if (result !== null) return result;
    const slice = sliceOf(pool, chunk, index);
    if (slice === null) return { status: "unknown" };
    const { state, attempt, at: dueAt } = slice;
    return state === "leased"
      ? { status: "running", attempt }
      : { status: "pending", attempt, dueAt };
  });
}

function sliceOf(pool: Pool, chunk: number, index: number): Slice | null {
  for (const slice of pool.byChunk.get(chunk) ?? []) {
    if (slice.indices.includes(index)) return slice;
  }
  return null;
}

function cancelInSlice(scene: Scene, slice: Slice, indices: readonly number[]): void {
  cancelTasks(scene, slice, indices);
  if (slice.state === "leased") {
    for (const index of indices) slice.canceled.add(index);
    scene.data.canceling.add(slice);
    return;
  }
  const { pool } = slice.origin;
  freeTasks(scene, slice, indices.length);
  pool.leave(slice);
  slice.indices = withoutIndices(slice.indices, new Set(indices));
  if (slice.indices.length === 0) pool.remove(slice);
  else pool.wait(slice, scene.now);
}
