/** The loops of the storage port on SQLite: gives each method its transaction. */
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
import { workInside } from "./append-inside.ts";
import * as dead from "./loop-dead.ts";
import * as loops from "./loops.ts";
import type { Opened } from "./open.ts";

/** See {@link LoopStorage} for what each method promises. */
export class SqliteLoops implements LoopStorage {
  readonly #opened: () => Opened;
  readonly #writtenInside: (tx: unknown) => void;

  /** `writtenInside` hears of writes in a transaction that the caller of a ping ends. */
  constructor(opened: () => Opened, writtenInside: (tx: unknown) => void) {
    this.#opened = opened;
    this.#writtenInside = writtenInside;
  }

  async create(given: readonly NewLoop[]): Promise<CreatedLoop[]> {
    return this.#opened().transactions.write((tx) => loops.create(tx, given));
  }

  async get(keys: readonly LoopKey[]): Promise<(LoopRow | null)[]> {
    return this.#opened().transactions.read((sql) => loops.get(sql, keys));
  }

  async list(query: LoopQuery): Promise<LoopRow[]> {
    return this.#opened().transactions.read((sql) => loops.list(sql, query));
  }

  async delete(ids: readonly number[], statuses: readonly LoopStatus[]): Promise<number[]> {
    return this.#opened().transactions.write((tx) => loops.remove(tx, ids, statuses));
  }

  async control(ids: readonly number[], event: LoopControl): Promise<ControlledLoop[]> {
    return this.#opened().transactions.write((tx) => loops.control(tx, ids, event));
  }

  async claim(request: LoopClaim): Promise<ClaimedLoops> {
    return this.#opened().transactions.write((tx) => loops.claim(tx, request));
  }

  async advance(steps: readonly LoopStep[]): Promise<StepAnswer[]> {
    return this.#opened().transactions.write((tx) => loops.advance(tx, steps));
  }

  async transact<R>(request: LoopTransact<R>): Promise<LoopTransacted<R>> {
    const { transactions, connection } = this.#opened();
    return transactions.alone(() => loops.transactLoop(connection, transactions.time, request));
  }

  async ping(pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    const { transactions } = this.#opened();
    const answers = await transactions.read((sql) => loops.pingAnswers(sql, pings));
    // Nearly always they are awake, and nobody waits for the write lock.
    if (!answers.includes("woken")) return answers;
    return transactions.write((tx) => loops.ping(tx, pings));
  }

  pingInside(tx: unknown, pings: readonly LoopPing[]): PingAnswer[] {
    const { connection, transactions } = this.#opened();
    const answers = workInside(connection, transactions.time, tx, (inside) =>
      loops.ping(inside, pings),
    );
    this.#writtenInside(tx);
    return answers;
  }

  async pingWithin(tx: unknown, pings: readonly LoopPing[]): Promise<PingAnswer[]> {
    return this.pingInside(tx, pings);
  }

  async notes(query: NoteQuery): Promise<LoopNote[]> {
    return this.#opened().transactions.read((sql) => loops.notes(sql, query));
  }

  async release(leases: readonly LoopLease[]): Promise<void> {
    await this.#opened().transactions.write((tx) => loops.release(tx, leases));
  }

  async releaseStrangers(incarnation: number, known: readonly LoopLease[]): Promise<LoopLease[]> {
    return this.#opened().transactions.write((tx) => {
      return loops.releaseStrangers(tx, incarnation, known);
    });
  }

  async deadLetters(query: LoopDeadQuery): Promise<LoopLetter[]> {
    return this.#opened().transactions.read((sql) => dead.deadLetters(sql, query));
  }

  async discardDead(letters: LoopLetters): Promise<number> {
    return this.#opened().transactions.write((tx) => dead.discardDead(tx, letters));
  }

  async redriveDead(letters: LoopLetters): Promise<number> {
    return this.#opened().transactions.write((tx) => dead.redriveDead(tx, letters));
  }
}
