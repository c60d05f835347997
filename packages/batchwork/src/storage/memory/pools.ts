/** The part of the port that runs tasks, over {@link MemoryData}. */
import { BatchworkError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import type {
  CancelAnswer,
  CanceledTasks,
  ClaimedSlice,
  FoundTask,
  PoolCounts,
  PoolDefinition,
  PoolExchange,
  PoolExchanged,
  PoolStorage,
} from "../pools.ts";
import { cancel, cancelAll, findTasks, slicesIn } from "./pool-cancel.ts";
import { PoolTurn } from "./pool-claim.ts";
import { definePool } from "./pool-definitions.ts";
import type { Scene } from "./pool-ends.ts";
import { reconcileSlices, releaseSlices } from "./pool-leases.ts";
import { settleSlice } from "./pool-settle.ts";
import type { Pool } from "./pool.ts";
import type { Slice } from "./slice.ts";

/** How a view reads the time, and how it tells that something changed. */
export interface PoolView {
  readonly scene: () => Scene;
  readonly commit: () => void;
}

/** See {@link PoolStorage} for what each method promises. */
export class MemoryPools implements PoolStorage {
  readonly #view: PoolView;

  constructor(view: PoolView) {
    this.#view = view;
  }

  async define(pools: readonly PoolDefinition[]): Promise<void> {
    const scene = this.#change();
    for (const definition of pools) definePool(scene, definition);
  }

  async setParallelism(queue: number, maxParallelism: number | null): Promise<void> {
    poolOf(this.#change(), queue).parallelism = maxParallelism;
  }

  async parallelism(queue: number): Promise<number | null> {
    return poolOf(this.#view.scene(), queue).parallelism;
  }

  async exchange(request: PoolExchange): Promise<PoolExchanged> {
    const exchanged = exchange(this.#view.scene(), request);
    // A look that found nothing is no commit, or two processes would wake each other for ever.
    if (exchanged.claimed.length > 0 || exchanged.settled.includes("settled")) {
      this.#view.commit();
    }
    return exchanged;
  }

  async reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return reconcileSlices(this.#change(), incarnation, known);
  }

  async release(leases: readonly Lease[]): Promise<void> {
    releaseSlices(this.#change(), leases);
  }

  async cancel(queue: number, ids: readonly string[]): Promise<CancelAnswer[]> {
    const scene = this.#change();
    return cancel(scene, poolOf(scene, queue), ids);
  }

  async cancelAll(queue: number, slices: number): Promise<{ canceled: number; more: boolean }> {
    const scene = this.#change();
    return cancelAll(scene, poolOf(scene, queue), slices);
  }

  async findTasks(queue: number, ids: readonly string[]): Promise<FoundTask[]> {
    const scene = this.#view.scene();
    return findTasks(scene, poolOf(scene, queue), ids);
  }

  async counts(queue: number): Promise<PoolCounts> {
    const scene = this.#view.scene();
    const pool = poolOf(scene, queue);
    pool.wake(scene.now);
    return countTasks(scene, pool);
  }

  #change(): Scene {
    this.#view.commit();
    return this.#view.scene();
  }
}

function poolOf({ data }: Scene, queue: number): Pool {
  const { pool } = data.queue(queue);
  if (pool !== null) return pool;
  const message = `No pool has the id ${queue}: define it first.`;
  throw new BatchworkError("STORAGE_FAILED", message, { field: "queue", value: queue });
}

/** One transaction. */
function exchange(scene: Scene, request: PoolExchange): PoolExchanged {
  const { data, now } = scene;
  const { incarnation, settlements, claims, alone } = request;
  if (!data.incarnations.has(incarnation)) {
    const settled = settlements.map(() => "lost" as const);
    const nothing = { claimed: [], canceled: [], nextAt: null, more: false };
    return { settled, ...nothing, suspectWaiting: false, now };
  }
  const canceled: CanceledTasks[] = [];
  const settled = settlements.map((settlement) => {
    const slice = data.slices.get(settlement.batch);
    return settleSlice(scene, slice, settlement, canceled) ? "settled" : "lost";
  });
  const claimed: ClaimedSlice[] = [];
  const turns: PoolTurn[] = [];
  for (const claim of claims) {
    const pool = poolOf(scene, claim.queue);
    if (data.queue(claim.queue).paused) continue;
    pool.wake(now);
    turns.push(new PoolTurn(scene, pool, claim, { incarnation, claimed }));
  }
  if (alone) claimSuspects(turns);
  const suspects = claimed.length > 0;
  for (const turn of turns) if (!suspects) turn.claim();
  return {
    settled,
    claimed,
    canceled: [...canceled, ...cancelsHeldBy(scene, incarnation)],
    nextAt: earliest(turns.map(({ nextAt }) => nextAt)),
    more: turns.some(({ isMore }) => isMore),
    suspectWaiting: turns.some((turn) => turn.firstSuspect() !== null),
    now,
  };
}

/** Claims from the pool whose first suspect has waited longest. */
function claimSuspects(turns: readonly PoolTurn[]): void {
  let first: { readonly turn: PoolTurn; readonly suspect: Slice } | null = null;
  for (const turn of turns) {
    const suspect = turn.isFree ? turn.firstSuspect() : null;
    if (suspect === null) continue;
    if (first === null || suspect.at < first.suspect.at) first = { turn, suspect };
  }
  first?.turn.claimSuspects();
}

function cancelsHeldBy({ data }: Scene, incarnation: number): CanceledTasks[] {
  return [...data.canceling]
    .filter(({ owner }) => owner === incarnation)
    .map(({ id: batch, token, canceled }) => {
      return { batch, token, indices: [...canceled].toSorted((a, b) => a - b) };
    });
}

function countTasks(scene: Scene, pool: Pool): PoolCounts {
  const slices = slicesIn(scene, pool);
  const { paused, dead } = scene.data.queue(pool.queue);
  const count = (wanted: (slice: Slice) => boolean): number => {
    let tasks = 0;
    for (const slice of slices) if (wanted(slice)) tasks += slice.indices.length;
    return tasks;
  };
  let canceling = 0;
  for (const slice of slices) canceling += slice.canceled.size;
  return {
    paused,
    parallelism: pool.parallelism,
    waiting: count(({ state }) => state === "ready" || state === "suspect"),
    delayed: count(({ state }) => state === "delayed"),
    retrying: count(({ state, attempt }) => state !== "leased" && attempt > 1),
    suspects: count(({ state }) => state === "suspect"),
    running: pool.running,
    canceling,
    keys: new Set(slices.map(({ origin }) => origin.serialKey)).size,
    dead: dead.count(null),
    nextAt: pool.delayed.peek()?.at ?? null,
  };
}

function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((time) => time !== null);
  return known.length === 0 ? null : Math.min(...known);
}
