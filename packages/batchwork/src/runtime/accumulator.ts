/** The batch primitive: collects items per group and hands them over many at a time. */
import { BatchworkError } from "../core/errors.ts";
import { CALL_BYTES_MAX, CALL_ITEMS_MAX } from "../core/limits.ts";
import type { BatchStatus, RunningBatchStatus } from "./batch-status.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { Entrance } from "./entrance.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { Queue } from "./queue.ts";
import { currentRun, type Run } from "./run.ts";
import type { Runner } from "./runner.ts";

/** A definition in an engine: the handle that `bw.batch()` returns. */
export class Batch<T> {
  readonly name: string;
  /** Items that are out of attempts. */
  readonly deadLetters: DeadLetters<T>;
  readonly #queue: Queue;
  readonly #runner: Runner;
  readonly #entrance: Entrance<T>;

  /** Made by `bw.batch()`. */
  constructor(queue: Queue, runner: Runner, entrance: Entrance<T>) {
    this.name = queue.name;
    this.#queue = queue;
    this.#runner = runner;
    this.#entrance = entrance;
    this.deadLetters = new DeadLetters(
      runner.storage,
      queue,
      async () => runner.ready(),
      () => runner.wake(),
    );
  }

  /**
   * Stores one item. Resolves after the commit that carries it: from then on it will be handed to
   * the handler at least once, or be a dead letter. When it rejects with `STORAGE_FAILED`, the item
   * may have been stored all the same.
   *
   * @param options.tx stores it inside a transaction that the caller holds open instead: the item
   * exists if and only if that commits. The `tx` of `ctx.tx`, or a connection of your own to the
   * same database. Await it before you commit.
   * @throws `ITEM_INVALID`, `ITEM_TOO_LARGE` (nothing is stored), `STOPPED`, `STORAGE_BUSY`,
   * `STORAGE_FAILED`; with `tx` also `TX_MISMATCH`, `TX_UNSUPPORTED`, `TX_OVER`
   */
  add(item: T, options?: { readonly tx: unknown }): Promise<AddResult> {
    if (options !== undefined) return this.#addWithin(item, options.tx);
    try {
      const { intake } = this.#runner;
      const entrance = this.#entrance;
      // No object for what memory takes as it is: there it would be a good part of the cost.
      if (!entrance.measured) return intake.add(this.#queue, entrance.groupOf(item), item, 0);
      const { group, value, bytes } = entrance.accept(item);
      return intake.add(this.#queue, group, value, bytes);
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * Stores several items in one commit: all of them or none. At most 10,000 items and 4 MiB a call.
   *
   * @throws as `add`, and `CALL_TOO_LARGE`
   */
  async addBulk(items: readonly T[]): Promise<AddResult[]> {
    return this.#runner.intake.addBulk(this.#queue, this.#acceptAll(items));
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
    return this.addBulkSync([item], options)[0] as AddResult;
  }

  /**
   * Stores several items inside a transaction that the caller holds open, as `addSync` does: in as
   * few chunks as `addBulk` would. At most 10,000 items and 4 MiB a call.
   *
   * @throws as `addSync`, and `CALL_TOO_LARGE`
   */
  addBulkSync(items: readonly T[], options: { readonly tx: unknown }): AddResult[] {
    if (this.#queue.id === 0) {
      const message = "addSync needs an open storage: await bw.start() or any other call first.";
      throw new BatchworkError("TX_UNSUPPORTED", message);
    }
    const accepted = this.#acceptAll(items);
    const results = this.#runner.intake.addInside(this.#queue, accepted, options.tx);
    this.#runner.addedInside(this.#queue);
    return results;
  }

  /**
   * Makes everything that waits due now, of one group or of all, and resolves when the first
   * attempt of all of it has ended, in whichever process.
   *
   * @throws `PAUSED` when the batch is paused and something waits, `FLUSH_IN_HANDLER` when it would
   * wait for the handler that calls it, `STOPPED` when the engine stops first
   */
  async flush(group?: string): Promise<void> {
    const run = this.#runAround();
    if (run !== undefined && (group ?? run.claimed.group) === run.claimed.group) {
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
   * Hands over everything that exists at the call, waits until each item of it succeeded or is
   * dead, in whichever process, and then pauses.
   *
   * @throws as `flush`
   */
  async drain(): Promise<void> {
    if (this.#runAround() !== undefined) {
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

  async #addWithin(item: T, tx: unknown): Promise<AddResult> {
    const accepted = this.#entrance.accept(item);
    const [result] = await this.#runner.intake.addWithin(this.#queue, [accepted], tx);
    this.#runner.addedInside(this.#queue);
    return result as AddResult;
  }

  /**
   * All items as the intake takes them. Throws `CALL_TOO_LARGE`, or what one of them is refused
   * for.
   */
  #acceptAll(items: readonly T[]): IntakeItem[] {
    if (items.length > CALL_ITEMS_MAX) throw callTooLarge("items", items.length, CALL_ITEMS_MAX);
    const accepted: IntakeItem[] = [];
    let bytes = 0;
    for (const item of items) {
      const one = this.#entrance.accept(item);
      bytes += one.bytes;
      accepted.push(one);
    }
    if (bytes > CALL_BYTES_MAX) throw callTooLarge("bytes", bytes, CALL_BYTES_MAX);
    return accepted;
  }

  /** The delivery of this batch that the caller is a part of. What outlives it is none of it. */
  #runAround(): Run | undefined {
    const run = currentRun.getStore();
    return run?.queue === this.#queue && !run.over ? run : undefined;
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
      if (runner.stopped) {
        throw new BatchworkError("STOPPED", "The engine stopped before everything had run.");
      }
      // Registered before the question, so an answer that changes meanwhile is not missed.
      const progressed = runner.news();
      if ((await storage.outstanding({ queue, group, mark, until })) === 0) return;
      if ((await storage.counts(queue, group)).paused) {
        const message = `"${this.name}" is paused, so what waits would never run. Call resume().`;
        throw new BatchworkError("PAUSED", message);
      }
      await progressed;
    }
  }
}

/** What `add` answers without being async itself, which would cost one more promise per item. */
async function refused(error: unknown): Promise<never> {
  throw error;
}

function callTooLarge(what: string, value: number, most: number): BatchworkError {
  const message = `One call takes at most ${most} ${what}, not ${value}: split it.`;
  return new BatchworkError("CALL_TOO_LARGE", message, { field: what, value });
}
