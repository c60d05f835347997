/** Short words for requests about loops. */
import assert from "node:assert/strict";

import type { LoopTake, LoopRow, LoopStep, LoopTransacted, NewLoop } from "../../storage/loops.ts";
import type { Fixture, Worker } from "./fixture.ts";

/** What loops of the cases are claimed with. */
export const TAKE: LoopTake = { kind: "walk", name: "users", limit: 100 };

export function newLoop(
  part: string,
  { state = "{}", cursor = null, runInMs = 0 }: Partial<NewLoop> = {},
): NewLoop {
  return { kind: TAKE.kind, name: TAKE.name, part, state, cursor, runInMs };
}

export async function claimLoops(
  t: Fixture,
  worker: Worker,
  take: Partial<LoopTake> = {},
): Promise<readonly LoopRow[]> {
  const takes = [{ ...TAKE, ...take }];
  const { incarnation } = worker;
  return (await t.storage.loops.claim({ incarnation, takes })).claimed;
}

/** Claims what must be exactly one loop. */
export async function claimLoop(t: Fixture, worker: Worker): Promise<LoopRow> {
  const claimed = await claimLoops(t, worker);
  assert.equal(claimed.length, 1, "exactly one loop is due");
  return claimed[0] as LoopRow;
}

/** The next step of a claimed loop; it goes on at once, and is anybody's. */
export function stepOf(loop: LoopRow, given: Partial<LoopStep> = {}): LoopStep {
  const { id, token, step, cursor, state } = loop;
  return {
    loop: id,
    token,
    step: step + 1,
    cursor,
    state,
    attempt: 0,
    error: null,
    move: { to: "active", runInMs: 0, keep: false },
    ...given,
  };
}

/** Writes a step in a transaction that looked, and found `run`. */
export async function looking<R>(
  t: Fixture,
  loop: LoopRow,
  step: LoopStep | null,
  run: (tx: unknown) => R | PromiseLike<R> = () => undefined as R,
): Promise<LoopTransacted<R> | null> {
  const lease = { loop: loop.id, token: loop.token };
  return t.storage.loops.transact<R>({ lease, confirm: true, run, step: () => step });
}

/** The step that has nothing to do before a ping, or before so long. */
export function resting(loop: LoopRow, wakeInMs: number | null = null): LoopStep {
  return stepOf(loop, { move: { to: "idle", wakeInMs } });
}
