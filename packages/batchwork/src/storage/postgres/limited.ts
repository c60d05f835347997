/** Appending to queues that have a limit: by budgets of this process. */
import type { KeyedAnswer, KeyedAppend, KeyedChunk, KeyedItem } from "../../core/keyed.ts";
import { NOTHING, plus, QueueFullError, type Amount } from "../../core/pending.ts";
import type { AppendedChunk, NewChunk } from "../storage.ts";
import { appendKeyed, appendKeyedWithin, findKeyed } from "./append-keyed.ts";
import { appendWithin } from "./append-within.ts";
import { within, type Budgets, type Grant, type Need, type Taken } from "./budgets.ts";
import type { Database } from "./database.ts";
import { BUDGET_OVER, codeOf, isAnswer } from "./failure.ts";
import { appendCall, appended } from "./intake.ts";

/** What chunks need of queues that have a limit. */
function needsOf(chunks: readonly NewChunk[]): Need[] {
  const needs = new Map<number, Need>();
  for (const { queue, limit, count, bytes } of chunks) {
    if (limit === undefined) continue;
    const before = needs.get(queue)?.amount ?? NOTHING;
    needs.set(queue, { queue, limit, amount: plus(before, { items: count, bytes }) });
  }
  return [...needs.values()];
}

export function isLimited(chunks: readonly (NewChunk | KeyedChunk)[]): boolean {
  return chunks.some(({ limit }) => limit !== undefined);
}

/** In a commit of its own. Rejects with `QUEUE_FULL`. */
export async function appendLimited(
  database: Database,
  budgets: Budgets,
  chunks: readonly NewChunk[],
): Promise<AppendedChunk[]> {
  return byBudget(budgets, needsOf(chunks), async (grants) => {
    const { sql, values } = within(appendCall(chunks, database.at), grants, database.at);
    return { result: appended(await database.rows(sql, values)) };
  });
}

/** In a transaction of the caller's, which stays as it is when there is no room. */
export async function appendLimitedWithin(
  database: Database,
  budgets: Budgets,
  tx: unknown,
  chunks: readonly NewChunk[],
): Promise<AppendedChunk[]> {
  const grants: Grant[] = [];
  for (const need of needsOf(chunks)) grants.push(await budgets.lend(need));
  return appendWithin(database, tx, chunks, grants);
}

/** Items with keys, in a commit of its own. A call that has no room is answered with `"full"`. */
export async function appendKeyedLimited(
  database: Database,
  budgets: Budgets,
  request: KeyedAppend,
): Promise<KeyedAnswer[]> {
  const answers: KeyedAnswer[] = [];
  for (const calls of piecesOf(request)) {
    answers.push(...(await appendPiece(database, budgets, calls)));
  }
  return answers;
}

/** The same in a transaction of the caller's. */
export async function appendKeyedLimitedWithin(
  database: Database,
  budgets: Budgets,
  tx: unknown,
  request: KeyedAppend,
): Promise<KeyedAnswer[]> {
  const answers: KeyedAnswer[] = [];
  for (const call of callsOf(request)) {
    const need = needOfCall(call);
    try {
      const grants = need === null ? [] : [await budgets.lend(need)];
      answers.push(...(await appendKeyedWithin(database, tx, call, grants)));
    } catch (error) {
      answers.push(await full(database, call, error));
    }
  }
  return answers;
}

/** All calls at once where there is room for all of them, or else one by one. */
async function appendPiece(
  database: Database,
  budgets: Budgets,
  request: KeyedAppend,
): Promise<KeyedAnswer[]> {
  const need = needOfCall(request);
  if (need === null) return appendKeyed(database, request);
  try {
    return await byBudget(budgets, [need], async (grants) => {
      const result = await appendKeyed(database, request, grants);
      return { result, stored: storedOf(request, result) };
    });
  } catch (error) {
    if (!(error instanceof QueueFullError)) throw error;
    const calls = callsOf(request);
    if (calls.length === 1) return [await full(database, request, error)];
    const answers: KeyedAnswer[] = [];
    for (const call of calls) answers.push(...(await appendPiece(database, budgets, call)));
    return answers;
  }
}

/** Takes what is needed, and gives back what was not used. Once more when a budget ran out. */
async function byBudget<T>(
  budgets: Budgets,
  needs: readonly Need[],
  work: (grants: readonly Grant[]) => Promise<{ readonly result: T; readonly stored?: Amount }>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const taken: Taken[] = [];
    try {
      for (const need of needs) taken.push(await budgets.take(need));
    } catch (error) {
      for (const { failed } of taken) failed(true);
      throw error;
    }
    try {
      const { result, stored } = await work(taken.map(({ grant }) => grant));
      for (const [n, one] of taken.entries()) one.stored(stored ?? (needs[n] as Need).amount);
      return result;
    } catch (error) {
      const over = codeOf((error as Error).cause) === BUDGET_OVER;
      // The server said that it stored nothing; a budget that ran out is of no use all the same.
      for (const { failed } of taken) failed(!over && isAnswer((error as Error).cause));
      if (!over || attempt > 1) throw error;
    }
  }
}

/** Without room: what the calls' keys are held by already is there all the same. */
async function full(
  database: Database,
  request: KeyedAppend,
  error: unknown,
): Promise<KeyedAnswer> {
  if (!(error instanceof QueueFullError)) throw error;
  const [held] = await findKeyed(database, request);
  if (held !== undefined) return held;
  const { room, need } = error;
  return { kind: "full", room, need };
}

function storedOf({ items }: KeyedAppend, answers: readonly KeyedAnswer[]): Amount {
  let stored = NOTHING;
  const places = new Map<number, number>();
  for (const { call, bytes } of items) {
    const place = places.get(call) ?? 0;
    places.set(call, place + 1);
    const answer = answers[call];
    if (answer?.kind === "stored" && answer.places[place]?.duplicate === false) {
      stored = plus(stored, { items: 1, bytes });
    }
  }
  return stored;
}

function needOfCall({ chunks, items }: KeyedAppend): Need | null {
  const { queue, limit } = chunks[(items[0] as KeyedItem).chunk] as KeyedChunk;
  if (limit === undefined) return null;
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return { queue, limit, amount: { items: items.length, bytes } };
}

/** Neighbouring calls of one queue together. */
function piecesOf(request: KeyedAppend): KeyedAppend[] {
  const pieces: KeyedItem[][] = [];
  let queue: number | undefined;
  for (const item of request.items) {
    const { queue: its } = request.chunks[item.chunk] as KeyedChunk;
    if (its === queue) (pieces.at(-1) as KeyedItem[]).push(item);
    else pieces.push([item]);
    queue = its;
  }
  return pieces.map((items) => part(request, items));
}

function callsOf(request: KeyedAppend): KeyedAppend[] {
  return [...Map.groupBy(request.items, ({ call }) => call).values()].map((items) =>
    part(request, items),
  );
}

/** Some calls by themselves. */
function part({ chunks }: KeyedAppend, items: readonly KeyedItem[]): KeyedAppend {
  const first = (items[0] as KeyedItem).call;
  return { chunks, items: items.map((item) => ({ ...item, call: item.call - first })) };
}
