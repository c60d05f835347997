/** The account of all pools of a run: which tasks there are, and where each of them is. */
import { splitItems } from "../../packages/batchwork/src/core/codec.ts";
import { laneOf } from "../../packages/batchwork/src/core/lane.ts";
import { itemId } from "../../packages/batchwork/src/core/members.ts";
import type { StoredTask } from "../../packages/batchwork/src/core/task.ts";
import type { PoolDefinition } from "../../packages/batchwork/src/storage/pools.ts";
import type { AppendedChunk, NewChunk } from "../../packages/batchwork/src/storage/storage.ts";
import type { Scheduler } from "../scheduler.ts";
import type { PoolsPlan } from "./plan.ts";
import type { PoolRecord, SliceRecord, TaskEnd, TaskRecord } from "./records.ts";
import type { SimTask } from "./task.ts";
import type { PoolInvariant, PoolViolation } from "./violation.ts";

/** Times of clocks are whole numbers, ms. */
const CLOCK_MS = 2;

export class TaskLedger {
  violation: PoolViolation | null = null;
  readonly plan: PoolsPlan;
  readonly pools = new Map<number, PoolRecord>();
  readonly tasks = new Map<string, TaskRecord>();
  readonly byUid = new Map<number, TaskRecord>();
  readonly slices = new Map<number, SliceRecord>();
  readonly tokens = new Map<number, number>();
  /** Incarnations that are neither dead nor retired, and the life of a process that each is of. */
  readonly incarnations = new Map<number, number>();
  claims = 0;
  readonly #scheduler: Scheduler;
  readonly #keys = new Map<string, TaskRecord>();
  readonly #names = new Map<number, string>();

  constructor(plan: PoolsPlan, scheduler: Scheduler) {
    this.plan = plan;
    this.#scheduler = scheduler;
  }

  fail(invariant: PoolInvariant, detail: string): void {
    this.violation ??= { invariant, message: `${invariant}: ${detail}` };
  }

  /** Queues have their ids. */
  named(names: readonly string[], ids: readonly number[]): void {
    for (const [n, id] of ids.entries()) this.#names.set(id, names[n] as string);
  }

  defined(definitions: readonly PoolDefinition[]): void {
    for (const { queue, callbacks } of definitions) {
      if (this.pools.has(queue)) continue;
      const plan = this.plan.pools.find(({ name }) => name === this.#names.get(queue));
      if (plan === undefined) throw new Error(`No pool has the id ${queue}.`);
      this.pools.set(queue, {
        plan,
        queue,
        callbacks,
        paused: false,
        override: null,
        live: new Set(),
        leased: 0,
        ofKey: new Map(),
        delivered: [],
        dead: 0,
      });
    }
  }

  appended(chunks: readonly NewChunk[], appended: readonly AppendedChunk[]): void {
    for (const [n, { queue, payload, group, dueInMs, limit }] of chunks.entries()) {
      const pool = this.pools.get(queue);
      if (pool === undefined) continue;
      const { id: chunk, dueAt } = appended[n] as AppendedChunk;
      const { priority, serialKey } = laneOf(group);
      for (const [index, text] of splitItems(payload as string).entries()) {
        const task = this.#newTask(pool, { chunk, index, text, at: dueAt });
        const { args, id } = task;
        const isAsAsked = args.serialKey === serialKey && args.priority === priority;
        const leftMs = args.notBefore - this.#scheduler.now;
        if (!isAsAsked || dueInMs + CLOCK_MS < leftMs) {
          this.fail("a task is what was enqueued", `${id} is in lane ${group}, due in ${dueInMs}`);
        }
      }
      const most = limit?.items ?? Number.POSITIVE_INFINITY;
      if (pool.live.size > most) {
        this.fail("maxPending: never more", `${pool.plan.name}: ${pool.live.size} of ${most}`);
      }
    }
  }

  #newTask(
    pool: PoolRecord,
    { chunk, index, text, at }: Pick<TaskRecord, "chunk" | "index" | "text" | "at">,
  ): TaskRecord {
    const stored = JSON.parse(text) as StoredTask;
    const task: TaskRecord = {
      id: itemId(chunk, index),
      pool,
      chunk,
      index,
      stored,
      args: stored.args as SimTask,
      text,
      attempt: 1,
      at,
      slice: null,
      canceled: false,
      suspect: false,
      company: 0,
      suspectedOf: null,
      crashes: 0,
      deaths: 0,
      end: null,
      calls: 0,
      grants: 0,
      ran: new Set(),
      told: 0,
    };
    if (this.tasks.has(task.id)) this.fail("a task is what was enqueued", `two are ${task.id}`);
    const { uid, key } = task.args;
    const ofKey = `${pool.queue} ${key}`;
    if (this.byUid.has(uid)) this.fail("one task per key", `${uid} (key "${key}") is there twice`);
    if (key !== "" && this.#keys.has(ofKey)) this.fail("one task per key", `two of key "${key}"`);
    this.tasks.set(task.id, task);
    this.byUid.set(uid, task);
    this.#keys.set(ofKey, task);
    pool.live.add(task);
    return task;
  }

  /** A pool that was defined. */
  pool(queue: number): PoolRecord {
    const pool = this.pools.get(queue);
    if (pool === undefined) throw new Error(`Nobody has defined the pool ${queue}.`);
    return pool;
  }

  /** A task is over. */
  ended(task: TaskRecord, end: TaskEnd): void {
    if (task.end !== null) this.fail("what is over is over", `${task.id} ended a second time`);
    task.end = end;
    if (end.kind === "failed") task.pool.dead++;
    if (task.slice === null) task.pool.live.delete(task);
  }

  /** A task is leased no longer; a cancelled one does not go on. */
  freed(task: TaskRecord): void {
    const { slice, pool, index } = task;
    if (slice === null) return;
    slice.tasks.delete(index);
    if (slice.tasks.size === 0) this.slices.delete(slice.id);
    task.slice = null;
    task.canceled = false;
    pool.leased--;
    const { serialKey } = task.args;
    pool.ofKey.set(serialKey, (pool.ofKey.get(serialKey) ?? 0) - 1);
    if (task.end !== null) pool.live.delete(task);
  }

  /** Tasks that are over neither by their end nor by being cancelled. */
  unfinished(): TaskRecord[] {
    return [...this.pools.values()].flatMap(({ live }) =>
      [...live].filter(({ end }) => end === null),
    );
  }
}
