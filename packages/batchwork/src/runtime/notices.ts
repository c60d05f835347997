/** Telling `deadLetter.onDead` of items that died, at least once, beside the loop. */
import { revivedError } from "../core/errors.ts";
import type { DeadRow, Storage } from "../storage/storage.ts";
import { letterOf, type DeadJob, type DeadLetter } from "./dead-letters.ts";
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
      for (const queue of this.#queues) {
        try {
          if (queue.onDead !== undefined) await this.#tell(queue, queue.onDead);
        } catch (error) {
          this.#around.logger.warn("Looking for new dead letters failed.", { error });
        }
      }
    }
  }

  /** A callback that throws is called again later. */
  async #tell(queue: Queue, onDead: NonNullable<Queue["onDead"]>): Promise<void> {
    while (!this.#stopped) {
      const rows = await this.#storage.takeUnnotified(queue.id, NOTICES_AT_ONCE, NOTICE_RETRY_MS);
      if (rows.length === 0) return;
      for (const [, together] of Map.groupBy(rows, (row) => row.batch)) {
        // The rest is told of later, here or elsewhere.
        if (this.#stopped) return;
        const job = jobOf(queue, together);
        try {
          await onDead(job, revivedError((together[0] as DeadRow).error));
          await this.#storage.acknowledgeDead(together.map((row) => row.id));
        } catch (error) {
          const fields = { name: queue.name, batch: job.batchId, error };
          this.#around.logger.error("deadLetter.onDead failed; it is called again later.", fields);
        }
      }
    }
  }
}

function jobOf(queue: Queue, rows: readonly DeadRow[]): DeadJob<unknown> {
  const letters = rows.map((row) => letterOf<unknown>(queue, row));
  const { batchId, groupKey, attempts } = letters[0] as DeadLetter<unknown>;
  const items = letters.map((letter) => letter.item);
  return { batchId, name: queue.name, groupKey, attempts, items, letters };
}
