/** Loops: one row each, and every write fenced by its token. */
import type { StoredError } from "../../core/errors.ts";
import { placeAfterControl, placeAfterStep, type LoopPlace } from "../../core/loop-step.ts";
import {
  hasEnded,
  loopTransition,
  type LoopControl,
  type LoopLease,
  type LoopStatus,
} from "../../core/loop-transitions.ts";
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
import type { Connection } from "./connection.ts";
import type { SqliteValue } from "./handle.ts";
import type { IntakeStatements, Statements } from "./prepared.ts";
import { runUser, share } from "./transact.ts";
import type { StorageClock, Transaction } from "./transaction.ts";

/** A row as it is stored. */
interface Stored extends LoopKey {
  readonly id: number;
  readonly status: LoopStatus;
  readonly token: number;
  readonly owner: number | null;
  readonly run_at: number | null;
  readonly kicked: number;
  readonly step: number;
  readonly cursor: string | null;
  readonly state: string;
  readonly attempt: number;
  readonly crashes: number;
  readonly error: string | null;
  readonly created_at: number;
  readonly updated_at: number;
}

export function create({ sql, now }: Transaction, loops: readonly NewLoop[]): CreatedLoop[] {
  return loops.map(({ kind, name, part, state, cursor, runInMs }) => {
    const runAt = now + runInMs;
    const { changes } = sql.insertLoop.run({ kind, name, part, state, cursor, runAt, now });
    const stored = sql.loopByKey.get(kind, name, part) as Stored;
    return { loop: rowOf(stored), created: Number(changes) > 0 };
  });
}

export function get(sql: Statements, keys: readonly LoopKey[]): (LoopRow | null)[] {
  return keys.map(({ kind, name, part }) => {
    const stored = sql.loopByKey.get(kind, name, part) as Stored | undefined;
    return stored === undefined ? null : rowOf(stored);
  });
}

export function list(sql: Statements, query: LoopQuery): LoopRow[] {
  const { kind, name, statuses, before, limit } = query;
  const among = statuses === null ? null : JSON.stringify(statuses);
  const rows = sql.listLoops.all({ kind, name, statuses: among, before, limit });
  return (rows as Stored[]).map(rowOf);
}

export function remove(
  { sql }: Transaction,
  loops: readonly number[],
  statuses: readonly LoopStatus[],
): number[] {
  const among = JSON.stringify(statuses);
  return loops.filter((loop) => {
    if (Number(sql.deleteLoop.run(loop, among).changes) === 0) return false;
    sql.deleteLoopLetters.run(loop);
    sql.deleteLoopNotes.run(loop);
    return true;
  });
}

export function control(
  tx: Transaction,
  loops: readonly number[],
  event: LoopControl,
): ControlledLoop[] {
  return loops.map((loop) => {
    const stored = read(tx.sql, loop);
    if (stored === undefined) return { changed: false, loop: null };
    const place = placeAfterControl(placeOf(stored), event, tx.now);
    if (place === null) return { changed: false, loop: rowOf(stored) };
    setPlace(tx, stored, place);
    if (event === "resume") tx.sql.clearLoop.run(loop);
    return { changed: true, loop: rowOf(read(tx.sql, loop) as Stored) };
  });
}

export function claim({ sql, now }: Transaction, { incarnation, takes }: LoopClaim): ClaimedLoops {
  const claimed: LoopRow[] = [];
  let nextAt: number | null = null;
  let more = false;
  const alive = sql.isAlive.get(incarnation) !== undefined;
  for (const { kind, name, limit } of takes) {
    const due = sql.dueLoops.all(kind, name, now, limit + 1) as Stored[];
    if (due.length > limit) more = true;
    else nextAt = earlier(nextAt, (sql.nextLoop.get(kind, name, now) as { at: number | null }).at);
    for (const { id, status } of alive ? due.slice(0, limit) : []) {
      sql.claimLoop.run(loopTransition(status, "wake") ?? status, incarnation, now, id);
      claimed.push(rowOf(read(sql, id) as Stored));
    }
  }
  return { claimed, nextAt, more, now };
}

export function advance(tx: Transaction, steps: readonly LoopStep[]): StepAnswer[] {
  refuseIdle(steps);
  return steps.map((step) => write(tx, step));
}

/** Nothing is open beside a transaction that writes, so there is nothing to confirm. */
export function transactLoop<R>(
  connection: Connection,
  time: StorageClock,
  request: LoopTransact<R>,
): LoopTransacted<R> {
  const { lease, confirm, fresh = false, run } = request;
  let step: LoopStep | null = null;
  let answer: StepAnswer | null = null;
  const result = share(connection, time, {
    check: ({ sql }) => {
      const stored = read(sql, lease.loop);
      if (!isHeld(stored, lease) || (fresh && stored.status === "paused")) throw loopLost(lease);
    },
    run,
    finish: (tx) => {
      step = runUser(() => request.step());
      if (step === null) return;
      if (!confirm) refuseIdle([step]);
      answer = write(tx, step);
      if (answer.result === "lost") throw loopLost(lease);
    },
    happened: () => {
      const stored = read(connection.statements, lease.loop);
      return step !== null && stored?.token === lease.token && stored.step === step.step;
    },
  });
  return { result, answer };
}

export function ping(
  { sql, now }: Transaction<IntakeStatements>,
  pings: readonly LoopPing[],
): PingAnswer[] {
  const answers = pingAnswers(sql, pings);
  for (const [n, { loop, runInMs }] of pings.entries()) {
    if (answers[n] === "woken") sql.wakeLoop.run(now + runInMs, now, loop);
  }
  return answers;
}

/** What these pings come to. */
export function pingAnswers(
  sql: Pick<IntakeStatements, "loopStatus">,
  pings: readonly LoopPing[],
): PingAnswer[] {
  return pings.map(({ loop }) => {
    const found = sql.loopStatus.get(loop) as { readonly status: LoopStatus } | undefined;
    if (found === undefined || hasEnded(found.status)) return "ended";
    if (loopTransition(found.status, "ping") !== null) return "woken";
    return found.status === "paused" ? "paused" : "awake";
  });
}

export function notes(sql: Statements, { loop, after, limit }: NoteQuery): LoopNote[] {
  const rows = sql.loopNotes.all(loop, after, limit) as LoopNote[];
  return rows.map(({ step, note }) => ({ step, note }));
}

export function release({ sql }: Transaction, leases: readonly LoopLease[]): void {
  for (const { loop, token } of leases) sql.releaseLoop.run(loop, token);
}

export function releaseStrangers(
  { sql }: Transaction,
  incarnation: number,
  known: readonly LoopLease[],
): LoopLease[] {
  const tokens = new Map(known.map(({ loop, token }) => [loop, token]));
  const held = new Map<number, number>();
  for (const { id, token } of sql.loopsOf.all(incarnation) as Stored[]) {
    if (tokens.get(id) === token) held.set(id, token);
    else sql.releaseLoop.run(id, token);
  }
  return known.filter(({ loop, token }) => held.get(loop) !== token);
}

/** Carries out an event on a loop, where it has an edge for it. */
export function carryOut(tx: Transaction, loop: number, event: LoopControl): void {
  const stored = read(tx.sql, loop);
  const place = stored && placeAfterControl(placeOf(stored), event, tx.now);
  if (place) setPlace(tx, stored, place);
}

function write(tx: Transaction, step: LoopStep): StepAnswer {
  const { sql, now } = tx;
  const { loop, token, cursor, state, attempt, error, move } = step;
  const written = {
    step: step.step,
    cursor,
    state,
    attempt,
    error: error === null ? null : JSON.stringify(error),
    now,
  };
  if (move.to === "active" && move.keep && move.runInMs === 0) {
    const kept = sql.keepLoop.get({ loop, token, ...written }) as { runAt: number } | undefined;
    if (kept !== undefined) {
      leaveBehind(tx, step);
      return { result: "written", status: "active", runAt: kept.runAt, owned: true };
    }
  }
  const stored = read(sql, loop);
  if (stored?.token === token && stored.step === step.step) {
    return answerOf("written", placeOf(stored));
  }
  if (!isHeld(stored, step) || stored.step !== step.step - 1) {
    const place = stored === undefined ? null : placeOf(stored);
    return { result: "lost", status: place?.status ?? null, runAt: null, owned: false };
  }
  const place = placeAfterStep(placeOf(stored), move, now);
  sql.stepLoop.run({ ...bound(stored, place), ...written });
  leaveBehind(tx, step);
  return answerOf("written", place);
}

/** What a step leaves beside the row of its loop. */
function leaveBehind({ sql, now }: Transaction, { loop, ...step }: LoopStep): void {
  for (const { item, error, attempts } of step.bury ?? []) {
    sql.insertLoopLetter.run(loop, item, JSON.stringify(error), attempts, now);
  }
  for (const letter of step.revive ?? []) sql.deleteLoopLetter.run(letter, loop);
  if (step.note !== undefined) sql.insertLoopNote.run(loop, step.step, step.note);
}

function setPlace({ sql, now }: Transaction, stored: Stored, place: LoopPlace): void {
  sql.placeLoop.run({ ...bound(stored, place), now });
}

function bound(
  stored: Stored,
  { status, runAt, owned, kicked }: LoopPlace,
): Record<string, SqliteValue> {
  const owner = owned ? stored.owner : null;
  return { loop: stored.id, status, runAt, owner, kicked: kicked ? 1 : 0 };
}

function answerOf(result: "written", { status, runAt, owned }: LoopPlace): StepAnswer {
  return { result, status, runAt, owned };
}

function read(sql: Statements, loop: number): Stored | undefined {
  return sql.loop.get(loop) as Stored | undefined;
}

function isHeld(stored: Stored | undefined, { token }: LoopLease): stored is Stored {
  return stored !== undefined && stored.token === token && stored.owner !== null;
}

function placeOf({ status, run_at: runAt, owner, kicked }: Stored): LoopPlace {
  return { status, runAt, owned: owner !== null, kicked: kicked === 1 };
}

function rowOf(stored: Stored): LoopRow {
  const { run_at: runAt, created_at: createdAt, updated_at: updatedAt, error } = stored;
  const { id, kind, name, part, status, token, owner, step, cursor, state } = stored;
  const { attempt, crashes } = stored;
  return {
    id,
    kind,
    name,
    part,
    status,
    token,
    owner,
    runAt,
    step,
    cursor,
    state,
    attempt,
    crashes,
    error: error === null ? null : (JSON.parse(error) as StoredError),
    createdAt,
    updatedAt,
  };
}

function earlier(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.min(one, other);
}
