/** Items that are out of attempts: to be inspected, put back, or thrown away. */
import { BatchworkError, type StoredError } from "../core/errors.ts";
import type { DeadRow, Storage } from "../storage/storage.ts";
import type { Queue } from "./queue.ts";

/** One dead item. */
export interface DeadLetter<T> {
  readonly id: number;
  /** The item, as `add` was given it. */
  readonly item: T;
  /** The id that `add` returned; an item that was redriven has a new one. */
  readonly itemId: string;
  /** What `groupBy` returned; `undefined` without `groupBy`. */
  readonly groupKey: string | undefined;
  /** What it failed with last. */
  readonly error: StoredError;
  /** Attempts that failed. */
  readonly attempts: number;
  /** How often the process died while it ran the batch alone. */
  readonly crashes: number;
  /** Id of the batch it died in. */
  readonly batchId: string;
  readonly diedAt: Date;
}

/** What `deadLetter.onDead` is told of: the items that died together in one batch. */
export interface DeadJob<T> {
  readonly batchId: string;
  readonly name: string;
  readonly groupKey: string | undefined;
  readonly attempts: number;
  readonly items: readonly T[];
  readonly letters: readonly DeadLetter<T>[];
}

/** Options of {@link DeadLetters.list}. */
export interface DeadLetterQuery {
  /** Only this group. */
  readonly group?: string;
  /** Only ids above this one: the last id of the page before. Default 0. */
  readonly after?: number;
  /** Most letters to return, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1000;

/** The dead letters of one definition. They are always stored, whatever `deadLetter` says. */
export class DeadLetters<T> {
  readonly #storage: Storage;
  readonly #queue: Queue;
  readonly #ready: () => Promise<void>;
  readonly #wake: () => void;

  constructor(storage: Storage, queue: Queue, ready: () => Promise<void>, wake: () => void) {
    this.#storage = storage;
    this.#queue = queue;
    this.#ready = ready;
    this.#wake = wake;
  }

  /**
   * Dead letters, oldest first.
   *
   * @throws `OPTION_INVALID` for a `limit` or `after` outside its range
   */
  async list(query: DeadLetterQuery = {}): Promise<DeadLetter<T>[]> {
    const { group = null, after = 0, limit = PAGE_DEFAULT } = query;
    checkWhole("limit", limit, 1, PAGE_MAX);
    checkWhole("after", after, 0, Number.MAX_SAFE_INTEGER);
    await this.#ready();
    const rows = await this.#storage.deadLetters({ queue: this.#queue.id, group, after, limit });
    return rows.map((row) => letterOf<T>(this.#queue, row));
  }

  /** One dead letter. Throws `NOT_FOUND` when there is none with this id. */
  async get(id: number): Promise<DeadLetter<T>> {
    checkWhole("id", id, 1, Number.MAX_SAFE_INTEGER);
    const [letter] = await this.list({ after: id - 1, limit: 1 });
    if (letter?.id === id) return letter;
    const message = `"${this.#queue.name}" has no dead letter ${id}.`;
    throw new BatchworkError("NOT_FOUND", message, { field: "id", value: id });
  }

  /**
   * Puts dead items back into their groups, due at once, with all their attempts. Resolves with how
   * many there were; ids that are gone are passed over.
   */
  async redrive(ids: readonly number[] | "all"): Promise<number> {
    checkIds(ids);
    await this.#ready();
    const count = await this.#storage.redrive(this.#queue.id, ids);
    this.#wake();
    return count;
  }

  /** Deletes dead letters for good. Resolves with how many there were. */
  async discard(ids: readonly number[] | "all"): Promise<number> {
    checkIds(ids);
    await this.#ready();
    return this.#storage.discard(this.#queue.id, ids);
  }
}

/** A stored dead letter as the user sees it. */
export function letterOf<T>(queue: Queue, row: DeadRow): DeadLetter<T> {
  return {
    id: row.id,
    item: queue.decode([row.payload])[0] as T,
    itemId: row.itemId,
    groupKey: queue.grouped ? row.group : undefined,
    error: row.error,
    attempts: row.attempts,
    crashes: row.crashes,
    batchId: String(row.batch),
    diedAt: new Date(row.diedAt),
  };
}

function checkIds(ids: readonly number[] | "all"): void {
  if (ids === "all") return;
  for (const id of ids) checkWhole("ids", id, 1, Number.MAX_SAFE_INTEGER);
}

function checkWhole(field: string, value: number, minimum: number, maximum: number): void {
  if (Number.isSafeInteger(value) && value >= minimum && value <= maximum) return;
  const message = `${field} must be a whole number from ${minimum} to ${maximum}, not ${value}.`;
  throw new BatchworkError("OPTION_INVALID", message, { field, value });
}
