/** The loops of the storage port over {@link MemoryData}. */
import type { LoopControl, LoopLease, LoopStatus } from "../../core/loop-transitions.ts";
import type { LoopDeadQuery, LoopLetter, LoopLetters } from "../loop-dead.ts";
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
  type LoopStorage,
  type LoopTransact,
  type LoopTransacted,
  type NewLoop,
  type NoteQuery,
  type PingAnswer,
  type StepAnswer,
} from "../loops.ts";
import type { MemoryData } from "./data.ts";
import { commitWith, share } from "./transact.ts";

/** See {@link LoopStorage} for what each method promises. */
export class MemoryLoops implements LoopStorage {
  readonly #data: MemoryData;
  readonly #now: () => number;
  readonly #commit: () => void;

  /** `commit` counts a transaction that changed something. */
  constructor(data: MemoryData, now: () => number, commit: () => void) {
    this.#data = data;
    this.#now = now;
    this.#commit = commit;
  }

  async create(loops: readonly NewLoop[]): Promise<CreatedLoop[]> {
    const created = this.#data.loops.create(loops, this.#now());
    if (created.some((loop) => loop.created)) this.#commit();
    return created;
  }

  async get(keys: readonly LoopKey[]): Promise<(LoopRow | null)[]> {
    return this.#data.loops.get(keys);
  }

  async list(query: LoopQuery): Promise<LoopRow[]> {
    return this.#data.loops.list(query);
  }

  async delete(ids: readonly number[], statuses: readonly LoopStatus[]): Promise<number[]> {
    this.#commit();
    return this.#data.loops.delete(ids, statuses);
  }

  async control(ids: readonly number[], event: LoopControl): Promise<ControlledLoop[]> {
    this.#commit();
    return this.#data.loops.control(ids, event, this.#now());
  }

  async claim(request: LoopClaim): Promise<ClaimedLoops> {
    const alive = this.#data.incarnations.has(request.incarnation);
    const claimed = this.#data.loops.claim(request, alive, this.#now());
    // A look that found nothing is no commit, or two processes would wake each other for ever.
    if (claimed.claimed.length > 0) this.#commit();
    return claimed;
  }

  async advance(steps: readonly LoopStep[]): Promise<StepAnswer[]> {
    refuseIdle(steps);
    const now = this.#now();
    this.#commit();
    return steps.map((step) => this.#data.loops.write(step, now));
  }

  async transact<R>({
    lease,
    confirm,
    fresh = false,
    run,
    step,
  }: LoopTransact<R>): Promise<LoopTransacted<R>> {
    const { loops } = this.#data;
    const now = this.#now();
    let answer: StepAnswer | null = null;
    const result = share(this.#data, now, {
      check: () => {
        if (!loops.isHeld(lease) || (fresh && loops.isPaused(lease))) throw loopLost(lease);
      },
      run,
      finish: () => {
        const given = step();
        if (given === null) return;
        if (!confirm) refuseIdle([given]);
        answer = loops.write(given, now);
        if (answer.result === "lost") throw loopLost(lease);
      },
    });
    this.#commit();
    return { result, answer };
  }

  async ping(pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    const now = this.#now();
    return pings.map(({ loop, runInMs }) => {
      const { answer, wake } = this.#data.loops.ping(loop);
      if (answer === "woken") this.#commit();
      wake(now + runInMs);
      return answer;
    });
  }

  pingInside(tx: unknown, pings: readonly LoopPing[]): PingAnswer[] {
    return commitWith(this.#data, tx, (now) => {
      const answer = pings.map(({ loop }) => this.#data.loops.ping(loop).answer);
      const effect = (): void => {
        // Nothing runs between the call and the commit but what the caller does.
        for (const { loop, runInMs } of pings) this.#data.loops.ping(loop).wake(now + runInMs);
      };
      return { answer, effect };
    });
  }

  async pingWithin(tx: unknown, pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    return this.pingInside(tx, pings);
  }

  async notes(query: NoteQuery): Promise<LoopNote[]> {
    return this.#data.loops.notes(query);
  }

  async release(leases: readonly LoopLease[]): Promise<void> {
    this.#commit();
    this.#data.loops.release(leases);
  }

  async releaseStrangers(incarnation: number, known: readonly LoopLease[]): Promise<LoopLease[]> {
    this.#commit();
    return this.#data.loops.releaseStrangers(incarnation, known);
  }

  async deadLetters(query: LoopDeadQuery): Promise<LoopLetter[]> {
    return this.#data.loops.deadLetters(query);
  }

  async discardDead(letters: LoopLetters): Promise<number> {
    this.#commit();
    return this.#data.loops.discardDead(letters);
  }

  async redriveDead(letters: LoopLetters): Promise<number> {
    this.#commit();
    return this.#data.loops.redriveDead(letters, this.#now());
  }
}
