/** What a worker gave up: to be inspected, tried again, or thrown away. */
import { BatchworkError, type StoredError } from "../core/errors.ts";
import type { WorkerDefinition } from "./worker-definition.ts";
import { WORKER_KIND } from "./worker-definition.ts";

/** One item, or one batch that is not an array. */
export interface WorkerDeadLetter<Unit> {
  readonly id: number;
  readonly item: Unit;
  /** `undefined` for a worker without partitions. */
  readonly partition: string | undefined;
  /** What it failed with last. */
  readonly error: StoredError;
  /** Attempts that failed. */
  readonly attempts: number;
  readonly diedAt: Date;
}

/** Options of {@link WorkerDeadLetters.list}. */
export interface WorkerDeadLetterQuery {
  /** Only of this partition. */
  readonly partition?: string;
  /** Only ids above this one: the last id of the page before. Default 0. */
  readonly after?: number;
  /** Most letters to return, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1000;

/** The dead letters of one worker. */
export class WorkerDeadLetters<Unit> {
  readonly #definition: WorkerDefinition;
  readonly #ready: () => Promise<void>;
  readonly #wake: () => void;

  constructor(definition: WorkerDefinition, ready: () => Promise<void>, wake: () => void) {
    this.#definition = definition;
    this.#ready = ready;
    this.#wake = wake;
  }

  /** Dead letters, oldest first. @throws `OPTION_INVALID` */
  async list(query: WorkerDeadLetterQuery = {}): Promise<WorkerDeadLetter<Unit>[]> {
    const { partition = null, after = 0, limit = PAGE_DEFAULT } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > PAGE_MAX) {
      const message = `limit must be a whole number from 1 to ${PAGE_MAX}, not ${String(limit)}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "limit", value: limit });
    }
    await this.#ready();
    const { storage, name } = this.#definition;
    const asked = { kind: WORKER_KIND, name, part: partition, marked: false, after, limit };
    const letters = await storage.loops.deadLetters(asked);
    return letters.map(({ id, item, part, error, attempts, diedAt }) => ({
      id,
      item: this.#definition.itemOf(item) as Unit,
      partition: part === "" ? undefined : part,
      error,
      attempts,
      diedAt: new Date(diedAt),
    }));
  }

  /**
   * Has each of these processed once more, by itself, by the next owner of its loop. What fails
   * again is a dead letter again. Returns how many there were.
   */
  async redrive(ids: readonly number[] | "all"): Promise<number> {
    await this.#ready();
    const { storage, name } = this.#definition;
    const marked = await storage.loops.redriveDead({ kind: WORKER_KIND, name, ids });
    this.#wake();
    return marked;
  }

  /** Deletes dead letters. Returns how many. */
  async discard(ids: readonly number[] | "all"): Promise<number> {
    await this.#ready();
    const { storage, name } = this.#definition;
    return storage.loops.discardDead({ kind: WORKER_KIND, name, ids });
  }
}
