/** The part of the port that runs tasks, on PostgreSQL: each method is a call of its function. */
import { itemId, knownPlaceOf } from "../../core/members.ts";
import type { StoredError } from "../../core/errors.ts";
import type { Lease } from "../../core/lease.ts";
import type {
  CancelAnswer,
  FinishedTask,
  FoundTask,
  PoolCounts,
  PoolDefinition,
  PoolExchange,
  PoolExchanged,
  PoolStorage,
} from "../pools.ts";
import type { Database } from "./database.ts";
import { exchangeTasks } from "./pool-exchange.ts";

/** See {@link PoolStorage} for what each method promises. */
export class PostgresPools implements PoolStorage {
  readonly #opened: () => Database;

  constructor(opened: () => Database) {
    this.#opened = opened;
  }

  async define(pools: readonly PoolDefinition[]): Promise<void> {
    if (pools.length === 0) return;
    const ttls = pools.map(({ resultTtlMs: ms }) => (Number.isFinite(ms) ? Math.ceil(ms) : null));
    await this.#opened().run("SELECT @.define_pools($1, $2, $3)", [
      pools.map(({ queue }) => queue),
      pools.map(({ callbacks }) => callbacks),
      ttls,
    ]);
  }

  async setParallelism(queue: number, maxParallelism: number | null): Promise<void> {
    const most = maxParallelism === null ? null : Math.min(maxParallelism, MOST);
    await this.#opened().run("SELECT @.set_parallelism($1, $2)", [queue, most]);
  }

  async parallelism(queue: number): Promise<number | null> {
    const row = await this.#opened().row("SELECT parallelism FROM @.pool($1)", [queue]);
    return row["parallelism"] as number | null;
  }

  async exchange(request: PoolExchange): Promise<PoolExchanged> {
    return exchangeTasks(this.#opened(), request);
  }

  async reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    const database = this.#opened();
    const values = [incarnation, ...columns(known), database.at];
    const sql = "SELECT * FROM @.reconcile_slices($1, $2, $3, $4)";
    const rows = await database.rows(sql, values);
    return rows.map((row) => ({ batch: row["slice"] as number, token: row["token"] as number }));
  }

  async release(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    const database = this.#opened();
    await database.run("SELECT @.release_slices($1, $2, $3)", [...columns(leases), database.at]);
  }

  async cancel(queue: number, ids: readonly string[]): Promise<CancelAnswer[]> {
    const database = this.#opened();
    const places = [...new Set(ids)].flatMap((id) => knownPlaceOf(id) ?? []);
    const sql = "SELECT chunk, index, answer FROM @.cancel_tasks($1, $2, $3, $4)";
    const [chunks, indices] = [places.map(({ chunk }) => chunk), places.map(({ index }) => index)];
    const answers = new Map<string, CancelAnswer>();
    for (const row of await database.rows(sql, [queue, chunks, indices, database.at])) {
      const id = itemId(row["chunk"] as number, row["index"] as number);
      answers.set(id, row["answer"] as CancelAnswer);
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

  async cancelAll(queue: number, slices: number): Promise<{ canceled: number; more: boolean }> {
    const database = this.#opened();
    const sql = "SELECT canceled, more FROM @.cancel_all($1, $2, $3)";
    const row = await database.row(sql, [queue, slices, database.at]);
    return { canceled: row["canceled"] as number, more: row["more"] as boolean };
  }

  async findTasks(queue: number, ids: readonly string[]): Promise<FoundTask[]> {
    const database = this.#opened();
    const places = ids.map((id) => knownPlaceOf(id));
    const values = [
      queue,
      places.map((place) => place?.chunk ?? 0),
      places.map((place) => place?.index ?? 0),
      database.at,
    ];
    const rows = await database.rows("SELECT * FROM @.find_tasks($1, $2, $3, $4)", values);
    return (rows as unknown as readonly FoundRow[]).map((row) => found(row));
  }

  async counts(queue: number): Promise<PoolCounts> {
    const database = this.#opened();
    const row = await database.row("SELECT @.count_tasks($1, $2) AS counts", [queue, database.at]);
    return JSON.parse(row["counts"] as string) as PoolCounts;
  }
}

/** PostgreSQL has no infinity among its whole numbers. */
const MOST = Number.MAX_SAFE_INTEGER;

/** A row of `find_tasks`. */
interface FoundRow {
  readonly status: FoundTask["status"];
  readonly attempt: number | null;
  readonly at: number | null;
  readonly kind: FinishedTask["kind"] | null;
  readonly value: string | null;
  readonly error: string | null;
}

function found({ status, attempt, at, kind, value, error }: FoundRow): FoundTask {
  if (status === "unknown") return { status };
  if (status === "pending") return { status, attempt: attempt as number, dueAt: at as number };
  if (status === "running") return { status, attempt: attempt as number };
  return {
    status,
    kind: kind as FinishedTask["kind"],
    value,
    error: error === null ? null : (JSON.parse(error) as StoredError),
    endedAt: at as number,
  };
}

function columns(leases: readonly Lease[]): [number[], number[]] {
  return [leases.map(({ batch }) => batch), leases.map(({ token }) => token)];
}
