/** What the simulator knows of pools and tasks, by looking at calls of the storage and answers. */
import type { StoredTask } from "../../packages/batchwork/src/core/task.ts";
import type { PoolPlan } from "./plan.ts";
import type { SimReturn, SimTask } from "./task.ts";

export interface PoolRecord {
  readonly plan: PoolPlan;
  readonly queue: number;
  readonly callbacks: number | null;
  paused: boolean;
  /** The stored override of the parallelism. */
  override: number | null;
  /** Tasks that are not over, and cancelled ones that run. */
  readonly live: Set<TaskRecord>;
  /** Leased tasks; in all, and by serial key. */
  leased: number;
  readonly ofKey: Map<string, number>;
  /** Storage times of what was handed over lately. */
  delivered: number[];
  /** Tasks that failed for good. */
  dead: number;
}

export interface TaskRecord {
  readonly id: string;
  readonly pool: PoolRecord;
  readonly chunk: number;
  readonly index: number;
  readonly stored: StoredTask;
  readonly args: SimTask;
  /** As it is stored. */
  readonly text: string;
  /** The number of the next attempt, or of the one that runs. */
  attempt: number;
  /** When it may start, storage time. */
  at: number;
  slice: SliceRecord | null;
  /** Cancelled while it ran: it holds its place until its owner settles it. */
  canceled: boolean;
  /** `null` where a process that was only slow may have had it taken for one, or not. */
  suspect: boolean | null;
  /** As a suspect, at most so many run together with it. */
  company: number;
  /** Incarnation whose death made it a suspect. */
  suspectedOf: number | null;
  /** Deaths of processes that ran it alone, as the last claim had it, and how many there were. */
  crashes: number;
  deaths: number;
  end: TaskEnd | null;
  /** How often its handler was called, and in how many attempts and lost leases. */
  calls: number;
  grants: number;
  /** The attempts in which its handler came to an end. */
  readonly ran: Set<number>;
  /** How often its end was told, and whether it was told in one transaction. */
  told: number;
}

export type TaskEnd =
  | { readonly kind: "success"; readonly value: SimReturn | null }
  | { readonly kind: "failed"; readonly crashed: boolean }
  | { readonly kind: "canceled" };

/** Tasks under one lease. */
export interface SliceRecord {
  readonly id: number;
  readonly token: number;
  readonly owner: number;
  readonly pool: PoolRecord;
  readonly alone: boolean;
  /** Number of the claim that it is of. */
  readonly claim: number;
  /** By index, as far as they are not settled. */
  readonly tasks: Map<number, TaskRecord>;
}
