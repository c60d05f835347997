/** What `status()` and `stats()` of a worker say. */
import type { StoredError } from "../core/errors.ts";
import type { WorkerWait } from "../core/worker-state.ts";
import type { LoopRow } from "../storage/loops.ts";
import { stateOf } from "./worker-definition.ts";

/** One loop of a worker. */
export interface WorkerStatus {
  readonly name: string;
  /** `undefined` for a worker without partitions. */
  readonly partition: string | undefined;
  /**
   * `"running"`: it looks, or is about to. `"waiting"`: it will look at `nextRunAt`. `"idle"`: it
   * waits for a ping, or for `nextRunAt`. `"stopped"`: it waits for `start()`.
   */
  readonly status: "running" | "waiting" | "idle" | "stopped";
  /** Grows with each owner: at most one of them can write. */
  readonly generation: number;
  readonly nextRunAt: Date | undefined;
  /** Why it does not look now. */
  readonly waitsFor: WorkerWait | "start" | undefined;
  /** Looks in a row that failed. */
  readonly attempt: number;
  /** What failed last, until something went well again. */
  readonly lastError: StoredError | undefined;
  /** Items, or batches that are not arrays, that failed and are tried again. */
  readonly failing: number;
  /** When its state last changed. */
  readonly updatedAt: Date;
}

/** What the loops of a worker have done, since there is such a worker. */
export interface WorkerStats {
  /** Batches that `process` was through with. */
  readonly batches: number;
  /** Items in them; a batch that is not an array counts as one. */
  readonly items: number;
  /** Calls of `query`, `process` or `setAside` that threw. */
  readonly failures: number;
}

export function statusOf(row: LoopRow): WorkerStatus {
  const { name, part, status, owner, runAt, token, attempt, error, updatedAt } = row;
  const { waits, failing } = stateOf(row);
  const waiting = owner === null && runAt !== null && runAt > updatedAt;
  const shown = shownStatus(status, waiting);
  return {
    name,
    partition: part === "" ? undefined : part,
    status: shown,
    generation: token,
    nextRunAt: runAt === null || owner !== null ? undefined : new Date(runAt),
    waitsFor: waitsFor(shown, waits),
    attempt,
    lastError: error ?? undefined,
    failing: failing.length,
    updatedAt: new Date(updatedAt),
  };
}

export function statsOf(rows: readonly LoopRow[]): WorkerStats {
  const sum = { batches: 0, items: 0, failures: 0 };
  for (const row of rows) {
    const { batches, items, failures } = stateOf(row);
    sum.batches += batches;
    sum.items += items;
    sum.failures += failures;
  }
  return sum;
}

function shownStatus(status: LoopRow["status"], waiting: boolean): WorkerStatus["status"] {
  if (status === "idle") return "idle";
  if (status !== "active") return "stopped";
  return waiting ? "waiting" : "running";
}

function waitsFor(
  status: WorkerStatus["status"],
  waits: WorkerWait | null,
): WorkerStatus["waitsFor"] {
  if (status === "stopped") return "start";
  if (status === "running") return undefined;
  // A ping made it due a little later: nothing was written but that.
  return status === "waiting" && (waits === "ping" || waits === null)
    ? "debounce"
    : (waits ?? "ping");
}
