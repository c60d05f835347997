/** The batch primitive: collects items per group and hands them over many at a time. */
import type { Codec } from "../core/codec.ts";
import { BatchworkError } from "../core/errors.ts";
import {
  CALL_BYTES_MAX,
  CALL_ITEMS_MAX,
  GROUP_KEY_CHARACTERS_MAX,
  ITEM_BYTES_MAX,
} from "../core/limits.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { Queue } from "./queue.ts";
import { currentRun } from "./run.ts";
import type { Runner } from "./runner.ts";

/** How a queue's items are grouped and encoded on their way in. */
export interface Entrance<T> {
  readonly groupBy: ((item: T) => string) | undefined;
  readonly codec: Codec;
}

/** One batch that a process runs now. */
export interface RunningBatchStatus {
  readonly batchId: string;
  readonly groupKey: string | undefined;
  readonly size: number;
  readonly attempt: number;
  readonly claimedAt: Date;
  /** What the handler last said with `ctx.progress`. */
  readonly percent: number | null;
  readonly note: string | null;
}

/** What `status()` resolves with. Counts cover all processes. */
export interface BatchStatus {
  readonly name: string;
  readonly paused: boolean;
  /** Items accepted and not yet handed to a handler. */
  readonly waiting: number;
  /** Groups with such items. */
  readonly groups: number;
  /** Batches that wait for another attempt. */
  readonly retrying: number;
  /** Batches that a handler has now. */
  readonly leased: number;
  /** Dead letters. */
  readonly dead: number;
  /** When the oldest waiting item is due; `null` when none waits. */
  readonly dueAt: Date | null;
  readonly running: readonly RunningBatchStatus[];
}

/** A definition in an engine: the handle that `bw.batch()` returns. */
export class Batch<T> {
  readonly name: string;
  /** Items that are out of attempts. */
  readonly deadLetters: DeadLetters<T>;
  readonly #queue: Queue;
  readonly #runner: Runner;
  readonly #entrance: Entrance<T>;
  /** False where items are kept as they are and nothing asks for their size. */
  readonly #measured: boolean;

  /** Made by `bw.batch()`. */
  constructor(queue: Queue, runner: Runner, entrance: Entrance<T>) {
    this.name = queue.name;
    this.#queue = queue;
    this.#runner = runner;
    this.#entrance = entrance;
    this.#measured = runner.storage.payload === "text" || queue.maxBytes < Number.POSITIVE_INFINITY;
    this.deadLetters = new DeadLetters(
      runner.storage,
      queue,
      async () => runner.ready(),
      () => runner.wake(),
    );
  }

  /**
   * Stores one item. Resolves after the commit that carries it: from then on it will be handed to the
   * handler at least once, or be a dead letter. When it rejects with `STORAGE_FAILED`, the item may
   * have been stored all the same.
   *
   * @throws `ITEM_INVALID`, `ITEM_TOO_LARGE` (nothing is stored), `STOPPED`, `STORAGE_BUSY`,
   * `STORAGE_FAILED`
   */
  add(item: T): Promise<AddResult> {
    try {
      const { intake } = this.#runner;
      const group = this.#groupOf(item);
      if (!this.#measured) return intake.add(this.#queue, group, item, 0);
      const { value, bytes } = this.#encode(item);
      return intake.add(this.#queue, group, value, bytes);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /**
   * Stores several items in one commit: all of them or none. At most 10,000 items and 4 MiB a call.
   *
   * @throws as `add`, and `CALL_TOO_LARGE`
   */
  async addBulk(items: readonly T[]): Promise<AddResult[]> {
    if (items.length > CALL_ITEMS_MAX) throw callTooLarge("items", items.length, CALL_ITEMS_MAX);
    const accepted: IntakeItem[] = [];
    let bytes = 0;
    for (const item of items) {
      const one = this.#accept(item);
      bytes += one.bytes;
      accepted.push(one);
    }
    if (bytes > CALL_BYTES_MAX) throw callTooLarge("bytes", bytes, CALL_BYTES_MAX);
    return this.#runner.intake.addBulk(this.#queue, accepted);
  }

  /**
   * Stores one item inside a transaction that the caller holds open, before it returns: the item
   * exists if and only if that transaction commits. Needs the storage open: after `bw.start()`, or
   * any awaited call.
   *
   * @param options.tx the facade of `ctx.tx`, or a SQLite handle on the same file with an open
   * transaction
   * @throws `TX_MISMATCH`, `TX_UNSUPPORTED`, `TX_OVER`, and as `add`, synchronously
   */
  addSync(item: T, options: { readonly tx: unknown }): AddResult {
    if (this.#queue.id === 0) {
      const message = "addSync needs an open storage: await bw.start() or any other call first.";
      throw new BatchworkError("TX_UNSUPPORTED", message);
    }
    const result = this.#runner.intake.addInside(this.#queue, this.#accept(item), options.tx);
    this.#runner.wake();
    return result;
  }

  /**
   * Makes everything that waits due now, of one group or of all, and resolves when the first attempt
   * of all of it has ended, in whichever process.
   *
   * @throws `PAUSED` when the batch is paused and something waits, `FLUSH_IN_HANDLER` when it would
   * wait for the handler that calls it, `STOPPED` when the engine stops first
   */
  async flush(group?: string): Promise<void> {
    const run = currentRun.getStore();
    if (run?.queue === this.#queue && (group ?? run.claimed.group) === run.claimed.group) {
      const message = `flush() inside a handler of "${this.name}" would wait for itself.`;
      throw new BatchworkError("FLUSH_IN_HANDLER", message);
    }
    await this.#finish(group ?? null, "attempted");
  }

  /** Hands nothing over any more, in every process, also after a restart. Adds still land. */
  async pause(): Promise<void> {
    await this.#runner.ready();
    await this.#runner.storage.setPaused([this.#queue.id], true);
    // Whoever waits in flush() is told at once.
    this.#runner.progressed.notify();
  }

  /** The inverse of `pause`. */
  async resume(): Promise<void> {
    await this.#runner.ready();
    await this.#runner.storage.setPaused([this.#queue.id], false);
    this.#runner.wake();
  }

  /**
   * Hands over everything that exists at the call, waits until each item of it succeeded or is dead,
   * in whichever process, and then pauses.
   *
   * @throws as `flush`
   */
  async drain(): Promise<void> {
    if (currentRun.getStore()?.queue === this.#queue) {
      const message = `drain() inside a handler of "${this.name}" would wait for itself.`;
      throw new BatchworkError("FLUSH_IN_HANDLER", message);
    }
    await this.#finish(null, "finished");
    await this.pause();
  }

  /** Items accepted and not yet handed to a handler, in one group or in all. */
  async getBufferSize(group?: string): Promise<number> {
    await this.#runner.ready();
    return (await this.#runner.storage.counts(this.#queue.id, group ?? null)).waiting;
  }

  /** Counts over all processes, and the batches that run now. */
  async status(): Promise<BatchStatus> {
    await this.#runner.ready();
    const { storage } = this.#runner;
    const { dueAt, ...counts } = await storage.counts(this.#queue.id, null);
    const running = (await storage.running(this.#queue.id)).map((batch): RunningBatchStatus => ({
      batchId: String(batch.batch),
      groupKey: this.#queue.grouped ? batch.group : undefined,
      size: batch.count,
      attempt: batch.attempt,
      claimedAt: new Date(batch.claimedAt),
      percent: batch.percent,
      note: batch.note,
    }));
    return { name: this.name, ...counts, dueAt: dueAt === null ? null : new Date(dueAt), running };
  }

  /** Makes what waits due, and waits until nothing from before is outstanding. */
  async #finish(group: string | null, until: "attempted" | "finished"): Promise<void> {
    const runner = this.#runner;
    const { storage } = runner;
    await runner.intake.settled();
    await runner.ready();
    const queue = this.#queue.id;
    const mark = await storage.makeDue(queue, group);
    runner.wake();
    for (;;) {
      // Registered before the question, so an answer that changes meanwhile is not missed.
      const progressed = runner.progressed.wait();
      if (runner.stopped) {
        throw new BatchworkError("STOPPED", "The engine stopped before everything had run.");
      }
      if ((await storage.outstanding({ queue, group, mark, until })) === 0) return;
      if ((await storage.counts(queue, group)).paused) {
        const message = `"${this.name}" is paused, so what waits would never run. Call resume().`;
        throw new BatchworkError("PAUSED", message);
      }
      await progressed;
    }
  }

  /** The item as the intake takes it: encoded, measured, with its group. */
  #accept(item: T): IntakeItem {
    const group = this.#groupOf(item);
    return this.#measured ? { group, ...this.#encode(item) } : { group, value: item, bytes: 0 };
  }

  #encode(item: T): { readonly value: unknown; readonly bytes: number } {
    const text = this.#entrance.codec.encode(item);
    const bytes = Buffer.byteLength(text);
    const bytesMax = Math.min(ITEM_BYTES_MAX, this.#queue.maxBytes);
    if (bytes > bytesMax) {
      const message = `An item of "${this.name}" has ${bytes} bytes; at most ${bytesMax} are allowed.`;
      throw new BatchworkError("ITEM_TOO_LARGE", message, { field: "item", value: bytes });
    }
    return { value: this.#runner.storage.payload === "reference" ? item : text, bytes };
  }

  #groupOf(item: T): string {
    const { groupBy } = this.#entrance;
    if (groupBy === undefined) return "";
    const group: unknown = groupBy(item);
    // UTF-8 has no lone surrogates: a database would give back another key, shared by many.
    const isText = typeof group === "string" && group.isWellFormed();
    if (isText && group.length <= GROUP_KEY_CHARACTERS_MAX) return group;
    const found = typeof group === "string" ? `a string of ${group.length}` : typeof group;
    const message =
      `groupBy of "${this.name}" must return a well-formed string of at most ` +
      `${GROUP_KEY_CHARACTERS_MAX} characters, not ${found}.`;
    throw new BatchworkError("ITEM_INVALID", message, { field: "groupBy", value: group });
  }
}

function callTooLarge(what: string, value: number, most: number): BatchworkError {
  const message = `addBulk takes at most ${most} ${what} a call, not ${value}: split the call.`;
  return new BatchworkError("CALL_TOO_LARGE", message, { field: what, value });
}
