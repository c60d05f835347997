/** Telling `deadLetter.onDead` of items that died, at least once, beside the loop. */
import { revivedError } from "../core/errors.ts";
import type { DeadRow, Storage } from "../storage/storage.ts";
import { letterOf, type DeadJob, type DeadLetter } from "./dead-letters.ts";
import { trouble } from "./observation.ts";
import type { Queue } from "./queue.ts";
import type { Surroundings } from "./surroundings.ts";

/** `onDead` is called again when a process took a letter and was not heard of for this long. */
const NOTICE_RETRY_MS = 60_000;
const NOTICES_AT_ONCE = 100;

/** Looks for untold dead letters whenever it is asked to, one look at a time. */
export class Notices {
  readonly #storage: Storage;
  readonly #around: Surroundings;
  readonly #queues: readonly Queue[];
  /** Called when a look is over. */
  readonly #ended: () => void;
  #looking: Promise<void> | undefined;
  #again = false;
  /** When to look again because something failed, in monotonic time. */
  #retryAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(storage: Storage, around: Surroundings, queues: readonly Queue[], ended: () => void) {
    this.#storage = storage;
    this.#around = around;
    this.#queues = queues;
    this.#ended = ended;
  }

  /** There may be new ones. */
  look(): void {
    this.#again = true;
    this.#looking ??= this.#lookAll().finally(() => {
      this.#looking = undefined;
      this.#ended();
    });
  }

  /** Looks when something that failed is to be tried again. */
  retry(): void {
    if (this.#around.clock.monotonicMs() < this.#retryAt) return;
    this.#retryAt = Number.POSITIVE_INFINITY;
    this.look();
  }

  /** True while a look, and perhaps a callback, is under way. */
  get busy(): boolean {
    return this.#looking !== undefined;
  }

  /** Calls no further callback; one that is under way may end. */
  stop(): void {
    this.#stopped = true;
  }

  async #lookAll(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        await this.#tellAll();
      } catch (error) {
        this.#retryWithin(0);
        trouble(this.#around, "warn", "Looking for new dead letters failed.", { error });
      }
    }
  }

  /** One question for all queues, so that an engine with many of them asks no more often. */
  async #tellAll(): Promise<void> {
    const queues = this.#queues.filter(({ id, onDead }) => id > 0 && onDead !== undefined);
    if (queues.length === 0) return;
    const ids = queues.map(({ id }) => id);
    while (!this.#stopped) {
      const rows = await this.#storage.takeUnnotified(ids, NOTICES_AT_ONCE, NOTICE_RETRY_MS);
      if (rows.length === 0) return;
      for (const [, together] of Map.groupBy(rows, (row) => row.batch)) {
        // The rest is told of later, here or elsewhere.
        if (this.#stopped) return;
        const { queue: id } = together[0] as DeadRow;
        await this.#tell(queues.find((queue) => queue.id === id) as Queue, together);
      }
    }
  }

  /** A callback that throws is called again later. */
  async #tell(queue: Queue, together: readonly DeadRow[]): Promise<void> {
    const job = jobOf(queue, together);
    try {
      await queue.onDead?.(job, revivedError((together[0] as DeadRow).error));
      await this.#storage.acknowledgeDead(together.map((row) => row.id));
    } catch (error) {
      this.#retryWithin(NOTICE_RETRY_MS);
      const fields = { name: queue.name, batch: job.batchId, error };
      const message = "deadLetter.onDead failed; it is called again later.";
      trouble(this.#around, "error", message, fields);
    }
  }

  #retryWithin(ms: number): void {
    this.#retryAt = Math.min(this.#retryAt, this.#around.clock.monotonicMs() + ms);
  }
}

function jobOf(queue: Queue, rows: readonly DeadRow[]): DeadJob<unknown> {
  const letters = rows.map((row) => letterOf<unknown>(queue, row));
  const { batchId, groupKey, attempts } = letters[0] as DeadLetter<unknown>;
  const items = letters.map((letter) => letter.item);
  return { batchId, name: queue.name, groupKey, attempts, items, letters };
}
