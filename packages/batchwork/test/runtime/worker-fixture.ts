/** A table of jobs, and workers that process it, on any storage. */
import type { Facade } from "../../src/runtime/facade.ts";
import type { Batchwork } from "../../src/runtime/engine.ts";
import type { Work, WorkerIdle, WorkerOptions } from "../../src/runtime/worker-options.ts";
import type { Worker } from "../../src/runtime/worker.ts";
import type { MemoryTx } from "../../src/storage/memory/index.ts";
import type { Fixture, Process, UserHandle } from "./fixture.ts";

/** Rows that wait, and rows that were processed. */
export class Jobs {
  readonly #database: UserHandle | undefined;
  #waiting: number[] = [];
  readonly #done: number[] = [];

  constructor(f: Fixture) {
    if (f.kind === "memory") return;
    this.#database = f.handle();
    this.#database.exec("PRAGMA busy_timeout = 2000");
    this.#database.exec("CREATE TABLE jobs (id INTEGER PRIMARY KEY)");
    this.#database.exec("CREATE TABLE done (n INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER)");
  }

  get database(): UserHandle {
    return this.#database as UserHandle;
  }

  insert(...ids: readonly number[]): void {
    if (this.#database === undefined) this.#waiting.push(...ids);
    else for (const id of ids) this.#database.prepare("INSERT INTO jobs VALUES (?)").run(id);
  }

  /** The first that wait, as a transaction sees them. */
  take(tx: Facade, limit: number): number[] {
    if (this.#database === undefined) return this.#waiting.slice(0, limit);
    const rows = tx.prepare("SELECT id FROM jobs ORDER BY id LIMIT ?").all(limit);
    return (rows as { id: number }[]).map(({ id }) => id);
  }

  /** Moves them, when the transaction commits. */
  finish(tx: Facade, ids: readonly number[]): void {
    this.remove(tx, ids);
    if (this.#database === undefined) {
      (tx as unknown as MemoryTx).onCommit(() => void this.#done.push(...ids));
      return;
    }
    for (const id of ids) tx.prepare("INSERT INTO done (id) VALUES (?)").run(id);
  }

  remove(tx: Facade, ids: readonly number[]): void {
    if (this.#database === undefined) {
      (tx as unknown as MemoryTx).onCommit(() => {
        this.#waiting = this.#waiting.filter((id) => !ids.includes(id));
      });
      return;
    }
    for (const id of ids) tx.prepare("DELETE FROM jobs WHERE id = ?").run(id);
  }

  /** In the order in which they were processed. */
  get done(): number[] {
    if (this.#database === undefined) return [...this.#done];
    const rows = this.#database.prepare("SELECT id FROM done ORDER BY n").all();
    return (rows as { id: number }[]).map(({ id }) => id);
  }

  get waiting(): number[] {
    if (this.#database === undefined) return [...this.#waiting];
    const rows = this.#database.prepare("SELECT id FROM jobs ORDER BY id").all();
    return (rows as { id: number }[]).map(({ id }) => id);
  }
}

/** One call of `process`. */
export interface Call {
  readonly batch: readonly number[];
  readonly at: number;
}

/** What is special about a worker of a test. */
export interface Special extends Partial<WorkerOptions<readonly number[]>> {
  readonly idle?: Omit<WorkerIdle, "kind">;
  readonly batchSize?: number;
  /** Throws to fail. */
  readonly work?: (batch: readonly number[], tx: Facade) => void;
}

/** A worker on jobs that goes idle at once when there are none. */
export function jobsWorker(
  f: Fixture,
  jobs: Jobs,
  special: Special = {},
): {
  readonly calls: Call[];
  /** When `query` was called, ms. */
  readonly looks: number[];
  readonly define: (bw: Batchwork) => Worker<readonly number[]>;
} {
  const { idle = { cooldownMs: 0 }, batchSize = 10, work, ...options } = special;
  const calls: Call[] = [];
  const looks: number[] = [];
  const define = (bw: Batchwork): Worker<readonly number[]> =>
    bw.worker<readonly number[]>({
      name: "jobs",
      query: (tx): Work<readonly number[]> => {
        looks.push(f.clock.monotonicMs());
        const batch = jobs.take(tx, batchSize);
        return batch.length === 0 ? { kind: "idle", ...idle } : { kind: "work", batch };
      },
      process: (tx, batch) => {
        calls.push({ batch, at: f.clock.monotonicMs() });
        work?.(batch, tx);
        jobs.finish(tx, batch);
      },
      ...options,
    });
  return { calls, looks, define };
}

/** Dies without a word: nothing of it runs any more, and no call comes back to it. */
export function die(process: Process): void {
  process.kill();
  process.faults = () => ({ delayBeforeMs: 1 });
}
