/** The loops of the storage port on PostgreSQL. */
import { BatchworkError } from "../../core/errors.ts";
import type { LoopControl, LoopLease, LoopStatus } from "../../core/loop-transitions.ts";
import type { LoopDeadQuery, LoopLetter, LoopLetters } from "../loop-dead.ts";
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
} from "../loops.ts";
import type { Database } from "./database.ts";
import * as dead from "./loop-dead.ts";
import * as loops from "./loops.ts";

/** See {@link LoopStorage} for what each method promises. */
export class PostgresLoops implements LoopStorage {
  readonly #database: () => Database;

  constructor(database: () => Database) {
    this.#database = database;
  }

  async create(given: readonly NewLoop[]): Promise<CreatedLoop[]> {
    return loops.create(this.#database(), given);
  }

  async get(keys: readonly LoopKey[]): Promise<(LoopRow | null)[]> {
    return loops.get(this.#database(), keys);
  }

  async list(query: LoopQuery): Promise<LoopRow[]> {
    return loops.list(this.#database(), query);
  }

  async delete(ids: readonly number[], statuses: readonly LoopStatus[]): Promise<number[]> {
    return loops.remove(this.#database(), ids, statuses);
  }

  async control(ids: readonly number[], event: LoopControl): Promise<ControlledLoop[]> {
    return loops.control(this.#database(), ids, event);
  }

  async claim(request: LoopClaim): Promise<ClaimedLoops> {
    return loops.claim(this.#database(), request);
  }

  async advance(steps: readonly LoopStep[]): Promise<StepAnswer[]> {
    return loops.advance(this.#database(), steps);
  }

  async transact<R>(request: LoopTransact<R>): Promise<LoopTransacted<R> | null> {
    return loops.transactLoop(this.#database(), request);
  }

  async ping(pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    return loops.ping(this.#database(), pings);
  }

  pingInside(): never {
    const message =
      "PostgreSQL writes nothing before it returns: await ping({ tx }) instead of pingSync.";
    throw new BatchworkError("TX_UNSUPPORTED", message, { field: "tx" });
  }

  async pingWithin(tx: unknown, pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    return loops.pingWithin(this.#database(), tx, pings);
  }

  async notes(query: NoteQuery): Promise<LoopNote[]> {
    return loops.notes(this.#database(), query);
  }

  async release(leases: readonly LoopLease[]): Promise<void> {
    await loops.release(this.#database(), leases);
  }

  async releaseStrangers(incarnation: number, known: readonly LoopLease[]): Promise<LoopLease[]> {
    return loops.releaseStrangers(this.#database(), incarnation, known);
  }

  async deadLetters(query: LoopDeadQuery): Promise<LoopLetter[]> {
    return dead.deadLetters(this.#database(), query);
  }

  async discardDead(letters: LoopLetters): Promise<number> {
    return dead.discardDead(this.#database(), letters);
  }

  async redriveDead(letters: LoopLetters): Promise<number> {
    return dead.redriveDead(this.#database(), letters);
  }
}
