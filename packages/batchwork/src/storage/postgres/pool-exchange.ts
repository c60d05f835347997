/** Settles tasks that ended and claims what is due, in one round trip. */
import { indicesOf, packIndices } from "../../core/indices.ts";
import { callbackChunks } from "../callback-chunks.ts";
import type {
  CanceledTasks,
  ClaimedSlice,
  PoolClaim,
  PoolExchange,
  PoolExchanged,
  TaskSettlement,
} from "../pools.ts";
import type { Database } from "./database.ts";

const EXCHANGE = `SELECT * FROM @.exchange_tasks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`;

/** What the function returns; which columns mean what depends on `kind`. */
interface Row {
  readonly kind: "s" | "c" | "k" | "x";
  readonly n: number;
  readonly ok: boolean;
  readonly meta: string | null;
  readonly data: string | null;
}

export async function exchangeTasks(
  database: Database,
  { incarnation, settlements, claims, alone }: PoolExchange,
): Promise<PoolExchanged> {
  const done = settlements.map(({ done: indices }) => packed(indices));
  const rows = (await database.rows(EXCHANGE, [
    incarnation,
    settlements.map(({ batch }) => batch),
    settlements.map(({ token }) => token),
    done.map(({ from }) => from),
    done.map(({ count }) => count),
    // Of most settlements every task succeeded and returned nothing.
    settlements.map((settlement, n) => rest(settlement, done[n] as Packed)),
    settlements.map(({ values }) => values),
    JSON.stringify(claims.map(finite)),
    alone,
    database.at,
  ])) as unknown as readonly Row[];
  return answer(rows);
}

interface Packed {
  readonly from: number;
  readonly count: number;
  readonly list: readonly number[] | null;
}

function packed(indices: readonly number[]): Packed {
  return indices.length === 0 ? { from: 0, count: 0, list: null } : packIndices(indices);
}

/** All but plain success, as JSON; `null` for nothing. */
function rest(settlement: TaskSettlement, done: Packed): string | null {
  const { again, dead, callbacks } = settlement;
  if (again.length + dead.length === 0 && callbacks === null && done.list === null) return null;
  return JSON.stringify({
    done: done.list,
    again: again.map(({ indices, attempt, delayMs }) => {
      return { indices, attempt, delayMs: Math.ceil(delayMs) };
    }),
    dead: dead.map(({ index, error }) => ({ index, error: JSON.stringify(error) })),
    callbacks: callbacks === null ? null : told(settlement),
  });
}

/** What is to be told: chunk by chunk, and of which tasks. */
function told({ callbacks }: TaskSettlement): unknown {
  const { indices, payload } = callbacks as NonNullable<TaskSettlement["callbacks"]>;
  const chunks = callbackChunks(0, payload);
  return {
    indices,
    chunks: chunks.map(({ count, bytes, payload: data }) => ({ count, bytes, data })),
  };
}

/** PostgreSQL has no infinity among its whole numbers. */
function finite(claim: PoolClaim): PoolClaim {
  const most = Number.MAX_SAFE_INTEGER;
  return {
    ...claim,
    limit: Math.min(claim.limit, most),
    maxBytes: Math.min(claim.maxBytes, most),
    maxParallelism: Math.min(claim.maxParallelism, most),
    concurrencyPerKey: Math.min(claim.concurrencyPerKey, most),
  };
}

function answer(rows: readonly Row[]): PoolExchanged {
  const settled: ("settled" | "lost")[] = [];
  const claimed: ClaimedSlice[] = [];
  const canceled: CanceledTasks[] = [];
  for (const row of rows) {
    if (row.kind === "s") settled.push(row.ok ? "settled" : "lost");
    else if (row.kind === "c") claimed.push(slice(row));
    else if (row.kind === "k") canceled.push(JSON.parse(row.meta as string) as CanceledTasks);
  }
  const { n: now, ok: more, meta } = rows.at(-1) as Row;
  const next = JSON.parse(meta as string) as Pick<PoolExchanged, "nextAt" | "suspectWaiting">;
  return { settled, claimed, canceled, more, now, ...next };
}

/** `meta` of a claimed slice. */
interface SliceMeta {
  readonly token: number;
  readonly queue: number;
  readonly chunk: number;
  readonly first: number;
  readonly count: number;
  readonly list: readonly number[] | null;
  readonly lane: string;
  readonly attempt: number;
  readonly crashes: number;
}

function slice({ n, ok, meta, data }: Row): ClaimedSlice {
  const { first: from, count, list, ...rest } = JSON.parse(meta as string) as SliceMeta;
  const indices = list ?? indicesOf({ from, count });
  return { batch: n, ...rest, indices, payload: data as string, alone: ok };
}
