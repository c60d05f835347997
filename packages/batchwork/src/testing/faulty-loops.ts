/** The loops of a storage that fails and dawdles on a schedule. */
import type { LoopControl, LoopLease, LoopStatus } from "../core/loop-transitions.ts";
import type { LoopDeadQuery, LoopLetter, LoopLetters } from "../storage/loop-dead.ts";
import type {
  ClaimedLoops,
  ControlledLoop,
  CreatedLoop,
  LoopClaim,
  LoopKey,
  LoopNote,
  LoopPing,
  LoopQuery,
  LoopRow,
  LoopStep,
  LoopStorage,
  LoopTransact,
  LoopTransacted,
  NewLoop,
  NoteQuery,
  PingAnswer,
  StepAnswer,
} from "../storage/loops.ts";

/** A method of the loops, as a schedule names it. */
export type LoopMethod = `loops.${keyof LoopStorage}`;

/** Carries calls out as the schedule says. */
export interface FaultyCalls {
  readonly call: <R>(method: LoopMethod, run: () => Promise<R>) => Promise<R>;
  readonly callSync: <R>(method: LoopMethod, run: () => R) => R;
}

export class FaultyLoops implements LoopStorage {
  readonly #inner: LoopStorage;
  readonly #calls: FaultyCalls;

  constructor(inner: LoopStorage, calls: FaultyCalls) {
    this.#inner = inner;
    this.#calls = calls;
  }

  create(loops: readonly NewLoop[]): Promise<CreatedLoop[]> {
    return this.#calls.call("loops.create", () => this.#inner.create(loops));
  }

  get(keys: readonly LoopKey[]): Promise<(LoopRow | null)[]> {
    return this.#calls.call("loops.get", () => this.#inner.get(keys));
  }

  list(query: LoopQuery): Promise<LoopRow[]> {
    return this.#calls.call("loops.list", () => this.#inner.list(query));
  }

  delete(loops: readonly number[], statuses: readonly LoopStatus[]): Promise<number[]> {
    return this.#calls.call("loops.delete", () => this.#inner.delete(loops, statuses));
  }

  control(loops: readonly number[], event: LoopControl): Promise<ControlledLoop[]> {
    return this.#calls.call("loops.control", () => this.#inner.control(loops, event));
  }

  claim(request: LoopClaim): Promise<ClaimedLoops> {
    return this.#calls.call("loops.claim", () => this.#inner.claim(request));
  }

  advance(steps: readonly LoopStep[]): Promise<StepAnswer[]> {
    return this.#calls.call("loops.advance", () => this.#inner.advance(steps));
  }

  transact<R>(request: LoopTransact<R>): Promise<LoopTransacted<R> | null> {
    return this.#calls.call("loops.transact", () => this.#inner.transact(request));
  }

  ping(pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    return this.#calls.call("loops.ping", () => this.#inner.ping(pings));
  }

  pingWithin(tx: unknown, pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    return this.#calls.call("loops.pingWithin", () => this.#inner.pingWithin(tx, pings));
  }

  notes(query: NoteQuery): Promise<LoopNote[]> {
    return this.#calls.call("loops.notes", () => this.#inner.notes(query));
  }

  release(leases: readonly LoopLease[]): Promise<void> {
    return this.#calls.call("loops.release", () => this.#inner.release(leases));
  }

  releaseStrangers(incarnation: number, known: readonly LoopLease[]): Promise<LoopLease[]> {
    return this.#calls.call("loops.releaseStrangers", () =>
      this.#inner.releaseStrangers(incarnation, known),
    );
  }

  deadLetters(query: LoopDeadQuery): Promise<LoopLetter[]> {
    return this.#calls.call("loops.deadLetters", () => this.#inner.deadLetters(query));
  }

  discardDead(letters: LoopLetters): Promise<number> {
    return this.#calls.call("loops.discardDead", () => this.#inner.discardDead(letters));
  }

  redriveDead(letters: LoopLetters): Promise<number> {
    return this.#calls.call("loops.redriveDead", () => this.#inner.redriveDead(letters));
  }

  pingInside(tx: unknown, pings: readonly LoopPing[]): PingAnswer[] {
    return this.#calls.callSync("loops.pingInside", () => this.#inner.pingInside(tx, pings));
  }
}
