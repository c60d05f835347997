/** Appending items with idempotency keys. */
import { storedGroup } from "../../core/group-name.ts";
import type { KeyedAnswer, KeyedAppend, KeyedItem, KeyedPlace } from "../../core/keyed.ts";
import { runWithin } from "./append-within.ts";
import { within, type Grant } from "./budgets.ts";
import type { Database } from "./database.ts";

const APPEND = "SELECT * FROM @.append_keyed($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const FIND = `SELECT f.kind, f.chunk, f.idx, coalesce($4::bigint, @.now_ms()) AS at
  FROM @.find_keys($1, $2, $3, coalesce($4::bigint, @.now_ms())) AS f ORDER BY f.n`;
const APPEND_WITHIN =
  "SELECT * FROM @.append_keyed_within($12, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/**
 * What the functions return for each item, in order; `busy` is a row by itself. Other libraries
 * have other parsers for bigint.
 */
interface ItemRow {
  readonly kind: "new" | "held" | "conflict" | "refused" | "busy";
  readonly chunk: unknown;
  readonly idx: unknown;
  readonly at: unknown;
}

/** In a commit of its own. Only the calls whose keys others have are put off. */
export async function appendKeyed(
  database: Database,
  request: KeyedAppend,
  grants: readonly Grant[] = [],
): Promise<KeyedAnswer[]> {
  const call = { sql: APPEND, values: valuesOf(database, request) };
  const { sql, values } = within(call, grants, database.at);
  const rows = (await database.rows(sql, values)) as unknown as ItemRow[];
  if (rows[0]?.kind !== "busy") return answersOf(request.items, rows);
  const calls = (request.items.at(-1) as KeyedItem).call + 1;
  if (calls === 1) return [{ kind: "busy" }];
  const half = Math.ceil(calls / 2);
  const answers = await appendKeyed(database, part(request, 0, half), grants);
  return [...answers, ...(await appendKeyed(database, part(request, half, calls), grants))];
}

/** What is known of the keys of a single call: it is nothing where one of them is not held. */
export async function findKeyed(
  database: Database,
  { chunks, items }: KeyedAppend,
): Promise<KeyedAnswer[]> {
  const rows = (await database.rows(FIND, [
    items.map(({ chunk }) => chunks[chunk]?.queue),
    items.map(({ key }) => key),
    items.map(({ digest }) => digest),
    database.at,
  ])) as unknown as ItemRow[];
  const isKnown = rows.every(({ kind }) => kind === "held");
  return isKnown || rows.some(({ kind }) => kind === "conflict") ? answersOf(items, rows) : [];
}

/** On the connection behind `tx`. Rejects with `TX_MISMATCH`, `TX_OVER`. */
export async function appendKeyedWithin(
  database: Database,
  tx: unknown,
  request: KeyedAppend,
  grants: readonly Grant[] = [],
): Promise<KeyedAnswer[]> {
  if (request.items.length === 0) return [];
  const call = { sql: APPEND_WITHIN, values: [...valuesOf(database, request), database.id] };
  const columns = ["kind", "chunk", "idx", "at"];
  const rows = await runWithin(database, tx, { ...within(call, grants, database.at), columns });
  return answersOf(request.items, rows as unknown as readonly ItemRow[]);
}

function valuesOf(database: Database, { chunks, items }: KeyedAppend): unknown[] {
  return [
    chunks.map(({ queue }) => queue),
    chunks.map(({ group }) => storedGroup(group)),
    chunks.map(({ dueInMs }) => Math.ceil(dueInMs)),
    chunks.map(({ keyTtlMs }) => (keyTtlMs === Number.POSITIVE_INFINITY ? null : keyTtlMs)),
    items.map(({ call }) => call),
    // Arrays begin at 1 there.
    items.map(({ chunk }) => chunk + 1),
    items.map(({ key }) => key),
    items.map(({ digest }) => digest),
    items.map(({ bytes }) => bytes),
    items.map(({ value }) => value),
    database.at,
  ];
}

function answersOf(items: readonly KeyedItem[], rows: readonly ItemRow[]): KeyedAnswer[] {
  const answers: KeyedAnswer[] = [];
  const places: KeyedPlace[][] = [];
  for (const [n, { call, key }] of items.entries()) {
    const { kind, chunk, idx, at } = rows[n] as ItemRow;
    places[call] ??= [];
    const list = places[call];
    list.push({ chunk: Number(chunk), index: Number(idx), duplicate: kind === "held" });
    answers[call] ??= { kind: "stored", at: Number(at), places: list };
    if (kind === "conflict" && answers[call].kind === "stored") {
      answers[call] = { kind, key: key as string };
    }
  }
  return answers;
}

/** The calls `from` .. `to - 1` by themselves. */
function part({ chunks, items }: KeyedAppend, from: number, to: number): KeyedAppend {
  const taken = items.filter(({ call }) => call >= from && call < to);
  return { chunks, items: taken.map((item) => ({ ...item, call: item.call - from })) };
}
