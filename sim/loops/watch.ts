/** Looks on while processes work with the loops they share, and notes the first broken promise. */
import type { LoopLease } from "../../packages/batchwork/src/core/loop-transitions.ts";
import type {
  ClaimedLoops,
  LoopStep,
  LoopStorage,
  StepAnswer,
} from "../../packages/batchwork/src/storage/loops.ts";
import type { Storage } from "../../packages/batchwork/src/storage/storage.ts";
import type { ProcessClock } from "../scheduler.ts";
import { overlay, SerialCalls } from "../serial.ts";

/** What must hold of loops, at any time. */
export type LoopInvariant =
  | "one owner at a time"
  | "tokens increase"
  | "no state is replaced by an older one"
  | "only the current token writes"
  | "a paused loop is not claimed"
  | "effects exactly once"
  | "no wake-up is lost"
  | "uncaught error";

export interface LoopViolation {
  readonly invariant: LoopInvariant;
  readonly detail: string;
}

/** What is known of a loop. */
interface Known {
  token: number;
  step: number;
  /** The incarnation that owns it. */
  owner: number | null;
  paused: boolean;
}

/** Thrown inside a transaction of a process that has just died: it rolls back. */
const DIED = new Error("The process died.");

export class Watch {
  violation: LoopViolation | null = null;
  /** Steps that were written. */
  steps = 0;
  claims = 0;
  readonly #loops = new Map<number, Known>();
  readonly #calls = new SerialCalls();

  fail(invariant: LoopInvariant, detail: string): void {
    this.violation ??= { invariant, detail };
  }

  /** The storage of one process, watched. */
  over(inner: Storage, clock: ProcessClock): Storage {
    const call = async <R>(run: () => Promise<R>): Promise<R> => this.#calls.call(clock, run);
    const loops = this.#watched(inner.loops, clock, call);
    const ended = (incarnations: readonly number[]): void => {
      for (const known of this.#loops.values()) {
        if (known.owner !== null && incarnations.includes(known.owner)) known.owner = null;
      }
    };
    const changes: Partial<Storage> = {
      loops,
      reap: async (maxCrashes) =>
        call(async () => {
          const reaped = await inner.reap(maxCrashes);
          ended(reaped.incarnations);
          return reaped;
        }),
      retire: async (incarnation) =>
        call(async () => {
          await inner.retire(incarnation);
          ended([incarnation]);
        }),
    };
    return overlay(inner, changes, call);
  }

  #watched(
    inner: LoopStorage,
    clock: ProcessClock,
    call: <R>(run: () => Promise<R>) => Promise<R>,
  ): LoopStorage {
    const changes: Partial<LoopStorage> = {
      claim: async (request) =>
        call(async () => {
          const claimed = await inner.claim(request);
          this.#claimed(claimed, request.incarnation);
          return claimed;
        }),
      advance: async (steps) =>
        call(async () => {
          const answers = await inner.advance(steps);
          for (const [n, step] of steps.entries()) this.#stepped(step, answers[n] as StepAnswer);
          return answers;
        }),
      transact: async (request) =>
        call(async () => {
          let step: LoopStep | null = null;
          const transacted = await inner.transact({
            ...request,
            step: () => {
              if (clock.dead) throw DIED;
              step = request.step();
              return step;
            },
          });
          const answer = transacted?.answer ?? null;
          if (step !== null && answer !== null) this.#stepped(step, answer);
          return transacted;
        }),
      control: async (loops, event) =>
        call(async () => {
          const controlled = await inner.control(loops, event);
          for (const [n, { changed }] of controlled.entries()) {
            if (changed && event !== "kick") {
              this.#known(loops[n] as number).paused = event === "pause";
            }
          }
          return controlled;
        }),
      release: async (leases) =>
        call(async () => {
          await inner.release(leases);
          this.#released(leases);
        }),
      releaseStrangers: async (incarnation, known) =>
        call(async () => {
          const lost = await inner.releaseStrangers(incarnation, known);
          for (const [id, loop] of this.#loops) {
            const isKnown = known.some((one) => one.loop === id && one.token === loop.token);
            if (loop.owner === incarnation && !isKnown) loop.owner = null;
          }
          return lost;
        }),
    };
    return overlay(inner, changes, call);
  }

  #claimed({ claimed }: ClaimedLoops, incarnation: number): void {
    for (const { id, token, step, part } of claimed) {
      this.claims++;
      const known = this.#known(id);
      const who = `loop ${id} (${part}), token ${token}, by ${incarnation}`;
      if (known.owner !== null) this.fail("one owner at a time", `${who}; of ${known.owner}`);
      if (token <= known.token) this.fail("tokens increase", `${who} after ${known.token}`);
      if (known.paused) this.fail("a paused loop is not claimed", who);
      if (step < known.step) {
        this.fail("no state is replaced by an older one", `${who}: ${step} after ${known.step}`);
      }
      known.token = token;
      known.owner = incarnation;
    }
  }

  #stepped({ loop, token, step }: LoopStep, answer: StepAnswer): void {
    if (answer.result === "lost") return;
    const known = this.#known(loop);
    const what = `loop ${loop}, step ${step} under token ${token}`;
    // The same step once more: its answer was lost.
    if (token === known.token && step === known.step) return;
    this.steps++;
    if (token !== known.token || known.owner === null) {
      this.fail("only the current token writes", `${what}; it is ${known.token}`);
    }
    if (step !== known.step + 1) {
      this.fail("no state is replaced by an older one", `${what} after ${known.step}`);
    }
    known.step = step;
    if (!answer.owned) known.owner = null;
  }

  #released(leases: readonly LoopLease[]): void {
    for (const { loop, token } of leases) {
      const known = this.#known(loop);
      if (known.token === token) known.owner = null;
    }
  }

  #known(loop: number): Known {
    let known = this.#loops.get(loop);
    if (known === undefined) {
      known = { token: 0, step: 0, owner: null, paused: false };
      this.#loops.set(loop, known);
    }
    return known;
  }
}
