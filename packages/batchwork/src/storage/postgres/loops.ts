/** Loops: each method is a call of its function. */
import type { StoredError } from "../../core/errors.ts";
import type { LoopMove } from "../../core/loop-step.ts";
import type { LoopControl, LoopLease, LoopStatus } from "../../core/loop-transitions.ts";
import {
  loopLost,
  refuseIdle,
  type ClaimedLoops,
  type ControlledLoop,
  type CreatedLoop,
  type LoopClaim,
  type LoopKey,
  type LoopNote,
  type LoopPing,
  type LoopQuery,
  type LoopRow,
  type LoopStep,
  type LoopTransact,
  type LoopTransacted,
  type NewLoop,
  type NoteQuery,
  type PingAnswer,
  type StepAnswer,
} from "../loops.ts";
import { runWithin } from "./append-within.ts";
import type { Database } from "./database.ts";
import { storageError } from "./failure.ts";
import { stepText, type Literal } from "./statements.ts";
import { found, lend, refusal } from "./transact.ts";

/** A row as the schema's functions write it. */
type Stored = Omit<LoopRow, "error"> & { readonly error: string | null };

const STEP = "SELECT @.step_loop($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS a";

const OWNED = `SELECT 1 AS owned FROM @.loops
  WHERE id = $1 AND token = $2 AND owner IS NOT NULL AND NOT ($3 AND status = 'paused')`;

const PING = "SELECT answer FROM @.ping_loops($1, $2, $3, $4)";

export async function create(db: Database, loops: readonly NewLoop[]): Promise<CreatedLoop[]> {
  const sql = "SELECT created, loop FROM @.create_loops($1, $2, $3, $4, $5, $6, $7)";
  const rows = await db.rows(sql, [
    loops.map(({ kind }) => kind),
    loops.map(({ name }) => name),
    loops.map(({ part }) => part),
    loops.map(({ state }) => state),
    loops.map(({ cursor }) => cursor),
    loops.map(({ runInMs }) => runInMs),
    db.at,
  ]);
  return rows.map(({ created, loop }) => ({ created: created as boolean, loop: rowOf(loop) }));
}

export async function get(db: Database, keys: readonly LoopKey[]): Promise<(LoopRow | null)[]> {
  const sql = `SELECT CASE WHEN l.id IS NOT NULL THEN @.loop_json(l)::text END AS loop
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (kind, name, part, n)
    LEFT JOIN @.loops AS l ON l.kind = k.kind AND l.name = k.name AND l.part = k.part
    ORDER BY k.n`;
  const rows = await db.rows(sql, [
    keys.map(({ kind }) => kind),
    keys.map(({ name }) => name),
    keys.map(({ part }) => part),
  ]);
  return rows.map(({ loop }) => maybeRow(loop));
}

export async function list(db: Database, query: LoopQuery): Promise<LoopRow[]> {
  const { kind, name, statuses, before, limit } = query;
  const sql = `SELECT @.loop_json(l)::text AS loop FROM @.loops AS l
    WHERE l.kind = $1 AND l.name = $2 AND ($3::text[] IS NULL OR l.status = ANY ($3))
      AND ($4::bigint IS NULL OR l.id < $4)
    ORDER BY l.id DESC LIMIT $5`;
  const rows = await db.rows(sql, [kind, name, statuses, before, limit]);
  return rows.map(({ loop }) => rowOf(loop));
}

export async function remove(
  db: Database,
  loops: readonly number[],
  statuses: readonly LoopStatus[],
): Promise<number[]> {
  const rows = await db.rows("SELECT id FROM @.delete_loops($1, $2) AS id", [loops, statuses]);
  return rows.map(({ id }) => id as number);
}

export async function control(
  db: Database,
  loops: readonly number[],
  event: LoopControl,
): Promise<ControlledLoop[]> {
  const sql = "SELECT changed, loop FROM @.control_loops($1, $2, $3)";
  const rows = await db.rows(sql, [loops, event, db.at]);
  return rows.map(({ changed, loop }) => ({ changed: changed as boolean, loop: maybeRow(loop) }));
}

export async function claim(db: Database, request: LoopClaim): Promise<ClaimedLoops> {
  const { incarnation, takes } = request;
  const sql = "SELECT @.claim_loops($1, $2, $3, $4, $5) AS claimed";
  const row = await db.row(sql, [
    incarnation,
    takes.map(({ kind }) => kind),
    takes.map(({ name }) => name),
    takes.map(({ limit }) => limit),
    db.at,
  ]);
  const { claimed, ...next } = JSON.parse(row["claimed"] as string) as Omit<
    ClaimedLoops,
    "claimed"
  > & { readonly claimed: readonly Stored[] };
  return { ...next, claimed: claimed.map(revive) };
}

/** Each step is a transaction of its own: nothing of one waits for the row of another. */
export async function advance(db: Database, steps: readonly LoopStep[]): Promise<StepAnswer[]> {
  refuseIdle(steps);
  return Promise.all(
    steps.map(async (step) => {
      const row = await db.row(STEP, valuesOf(step, db.at));
      return JSON.parse(row["a"] as string) as StepAnswer;
    }),
  );
}

export async function transactLoop<R>(
  db: Database,
  request: LoopTransact<R>,
): Promise<LoopTransacted<R> | null> {
  const { lease, confirm, fresh = false, run } = request;
  if (confirm && !(await isHeard(db, lease))) return null;
  let step: LoopStep | null = null;
  let answer: StepAnswer | null = null;
  const result = await db.transaction(
    async (client) => {
      // Without a lock: nobody is held up while the user's function runs. The step asks again.
      const owned = [lease.loop, lease.token, fresh];
      if (!(await found(db, client, OWNED, owned))) throw loopLost(lease);
      const result = await lend(db, client, run);
      step = request.step();
      if (step !== null && !confirm) refuseIdle([step]);
      return result;
    },
    () => ({
      sql: stepText(db.text("@.step_one"), step === null ? null : valuesOf(step, db.at)),
      committed: (results) => {
        if (step !== null) answer = answerIn(results);
      },
      refused: (error) => refusal(error, loopLost(lease)),
      unanswered: async (error) => {
        // The commit may have happened all the same: the step is the proof.
        answer = step === null ? null : await writtenAnswer(db, step);
        if (answer === null) throw storageError(error);
      },
    }),
  );
  return { result, answer };
}

export async function ping(db: Database, pings: readonly LoopPing[]): Promise<PingAnswer[]> {
  const rows = await db.rows(PING, pingValues(db, null, pings));
  return rows.map(({ answer }) => answer as PingAnswer);
}

export async function pingWithin(
  db: Database,
  tx: unknown,
  pings: readonly LoopPing[],
): Promise<PingAnswer[]> {
  const values = pingValues(db, db.id, pings);
  const rows = await runWithin(db, tx, { sql: PING, values, columns: ["answer"] });
  return rows.map(({ answer }) => answer as PingAnswer);
}

export async function notes(db: Database, query: NoteQuery): Promise<LoopNote[]> {
  const { loop, after, limit } = query;
  const sql = `SELECT step, note FROM @.loop_notes
    WHERE loop = $1 AND step > $2 ORDER BY step LIMIT $3`;
  const rows = await db.rows(sql, [loop, after, limit]);
  return rows.map(({ step, note }) => ({ step: step as number, note: note as string }));
}

export async function release(db: Database, leases: readonly LoopLease[]): Promise<void> {
  if (leases.length > 0) await db.run("SELECT @.release_loops($1, $2)", columns(leases));
}

export async function releaseStrangers(
  db: Database,
  incarnation: number,
  known: readonly LoopLease[],
): Promise<LoopLease[]> {
  const sql = "SELECT loop, token FROM @.release_strange_loops($1, $2, $3)";
  const rows = await db.rows(sql, [incarnation, ...columns(known)]);
  return rows.map(({ loop, token }) => ({ loop: loop as number, token: token as number }));
}

/** Two messages: whoever pinged before the first was written must have committed by the second. */
async function isHeard(db: Database, { loop, token }: LoopLease): Promise<boolean> {
  await db.run("SELECT @.listen_loop($1, $2)", [loop, token]);
  return (await db.row("SELECT @.is_heard($1) AS heard", [loop]))["heard"] === true;
}

/** `null` as well when nobody can tell: the caller is told that it may have happened. */
async function writtenAnswer(db: Database, step: LoopStep): Promise<StepAnswer | null> {
  const sql = `SELECT status, run_at, owner FROM @.loops
    WHERE id = $1 AND token = $2 AND step = $3`;
  try {
    const [row] = await db.rows(sql, [step.loop, step.token, step.step]);
    if (row === undefined) return null;
    const [status, runAt] = [row["status"] as LoopStatus, row["run_at"] as number | null];
    return { result: "written", status, runAt, owned: row["owner"] !== null };
  } catch {
    return null;
  }
}

/** Several statements in one message answer with a list. */
function answerIn(results: unknown): StepAnswer {
  const lists = results as readonly { readonly rows: readonly { readonly answer?: string }[] }[];
  const row = lists.flatMap(({ rows }) => rows).find(({ answer }) => answer !== undefined);
  return JSON.parse(row?.answer as string) as StepAnswer;
}

function valuesOf(step: LoopStep, at: number | null): Literal[] {
  const { move, error, bury = [], revive = [] } = step;
  const letters = bury.map(({ item, error, attempts }) => [item, JSON.stringify(error), attempts]);
  return [
    step.loop,
    step.token,
    step.step,
    step.cursor,
    step.state,
    step.attempt,
    error === null ? null : JSON.stringify(error),
    move.to,
    msOf(move),
    move.to === "active" && move.keep,
    letters.length === 0 ? null : JSON.stringify(letters),
    revive,
    step.note ?? null,
    at,
  ];
}

function msOf(move: LoopMove): number | null {
  if (move.to === "active") return move.runInMs;
  return move.to === "idle" ? move.wakeInMs : null;
}

function pingValues(db: Database, id: string | null, pings: readonly LoopPing[]): unknown[] {
  return [id, pings.map(({ loop }) => loop), pings.map(({ runInMs }) => runInMs), db.at];
}

function columns(leases: readonly LoopLease[]): [number[], number[]] {
  return [leases.map(({ loop }) => loop), leases.map(({ token }) => token)];
}

function maybeRow(text: unknown): LoopRow | null {
  return text === null ? null : rowOf(text);
}

function rowOf(text: unknown): LoopRow {
  return revive(JSON.parse(text as string) as Stored);
}

function revive(stored: Stored): LoopRow {
  const { error } = stored;
  return { ...stored, error: error === null ? null : (JSON.parse(error) as StoredError) };
}
