/** The batch primitive: collects items per group and hands them over many at a time. */
import { BatchworkError } from "../core/errors.ts";
import {
  checkCallBytes,
  checkCallItems,
  forBulk,
  keysOf,
  type AddOptions,
  type BulkOptions,
} from "./add-options.ts";
import { statusOf, type BatchStatus } from "./batch-status.ts";
import { DeadLetters } from "./dead-letters.ts";
import type { Entrance } from "./entrance.ts";
import type { BatchEvents, Listener } from "./events.ts";
import { explain, type Explanation } from "./explain.ts";
import { historyOf, type BatchHistoryQuery, type FinishedBatch } from "./history.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { ItemStatus, ResultOf, SubmitOptions, WaitOptions } from "./item-results.ts";
import { KeyedAdds } from "./keyed-adds.ts";
import { tellBatch } from "./observation.ts";
import type { Queue } from "./queue.ts";
import { replayed, type Replayed } from "./replay.ts";
import { currentRun, type Run } from "./run.ts";
import type { Runner } from "./runner.ts";
import type { Submissions } from "./submit.ts";
import type { Validation } from "./validation.ts";

/** A definition in an engine: the handle that `bw.batch()` returns. */
export class Batch<T, Item = T, R = unknown> {
  readonly name: string;
  readonly tags: readonly string[];
  /** Items that are out of attempts. */
  readonly deadLetters: DeadLetters<Item>;
  readonly #queue: Queue;
  readonly #runner: Runner;
  readonly #entrance: Entrance<T>;
  readonly #keyed: KeyedAdds<T>;
  readonly #submissions: Submissions<ResultOf<R>>;
  readonly #validation: Validation | undefined;
  /** True where items go through more than the shortest way. */
  readonly #indirect: boolean;

  /** Made by `bw.batch()`. */
  constructor(
    queue: Queue,
    runner: Runner,
    entrance: Entrance<T>,
    submissions: Submissions<ResultOf<R>>,
    validation?: Validation,
  ) {
    this.name = queue.name;
    this.tags = queue.tags;
    this.#validation = validation;
    this.#indirect = validation !== undefined || entrance.deduplicates;
    this.#queue = queue;
    this.#runner = runner;
    this.#entrance = entrance;
    this.#submissions = submissions;
    this.#keyed = new KeyedAdds(queue, runner, entrance);
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
   * may have been stored all the same; with an `idempotencyKey`, add it again and it is there once.
   *
   * @param options.tx stores it inside a transaction that the caller holds open instead: the item
   * exists if and only if that commits. The `tx` of `ctx.tx`, or a connection of your own to the
   * same database. Await it before you commit.
   * @param options.idempotencyKey stores it once, however often it is added under this key
   * @throws `QUEUE_FULL` (`maxPending`, nothing is stored),
   * `ITEM_INVALID` (a `SchemaError` where the `schema` says so), `ITEM_TOO_LARGE` (nothing
   * is stored), `STOPPED`, `STORAGE_BUSY`,
   * `STORAGE_FAILED`; with `tx` also `TX_MISMATCH`, `TX_UNSUPPORTED`, `TX_OVER`; with
   * `idempotencyKey` also `KEY_INVALID`, `KEY_CONFLICT` (nothing is stored)
   */
  add(item: T, options?: AddOptions): Promise<AddResult> {
    if (options !== undefined || this.#indirect || this.#queue.maxPending !== undefined) {
      return this.#addWith(item, options ?? {});
    }
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
   * @param options.tx as for `add`
   * @param options.idempotencyKey the key of each item: `(item, index) => string | undefined`
   * @throws as `add`, and `CALL_TOO_LARGE`
   */
  async addBulk(given: readonly T[], options: BulkOptions<T> = {}): Promise<AddResult[]> {
    checkCallItems(given.length);
    if (this.#validation === undefined) return this.#addBulk(given, options);
    const items = (await this.#validation.check(given)) as T[];
    return this.#addBulk(items, keysOf(given, options));
  }

  async #addBulk(items: readonly T[], options: BulkOptions<T>): Promise<AddResult[]> {
    const kept = options.keepResult === true;
    if (kept) this.#entrance.refuseToKeep();
    if (options.idempotencyKey !== undefined) return this.#keyed.addBulk(items, options);
    if ("tx" in options) return this.#addWithin(items, options.tx, kept);
    const { intake } = this.#runner;
    if (this.#queue.maxPending !== undefined) {
      return intake.limited.add(this.#queue, this.#acceptAll(items, 0, kept));
    }
    return intake.addBulk(this.#queue, this.#acceptAll(items, intake.room(this.#queue, ""), kept));
  }

  /**
   * Stores one item inside a transaction that the caller holds open, before it returns: the item
   * exists if and only if that transaction commits. Needs the storage open: after `bw.start()`, or
   * any awaited call.
   *
   * @param options.tx the facade of `ctx.tx`, or a SQLite handle on the same file with an open
   * transaction
   * @throws `TX_MISMATCH`, `TX_UNSUPPORTED`, `TX_OVER`, `SCHEMA_ASYNC` (the `schema` would have to
   * be awaited), and as `add`, synchronously
   */
  addSync(item: T, options: AddOptions & { readonly tx: unknown }): AddResult {
    return this.addBulkSync([item], forBulk(options))[0] as AddResult;
  }

  /**
   * Stores several items inside a transaction that the caller holds open, as `addSync` does: in as
   * few chunks as `addBulk` would. At most 10,000 items and 4 MiB a call.
   *
   * @throws as `addSync`, and `CALL_TOO_LARGE`
   */
  addBulkSync(
    given: readonly T[],
    options: BulkOptions<T> & { readonly tx: unknown },
  ): AddResult[] {
    checkCallItems(given.length);
    if (this.#queue.id === 0) {
      const message = "addSync needs an open storage: await bw.start() or any other call first.";
      throw new BatchworkError("TX_UNSUPPORTED", message);
    }
    const kept = options.keepResult === true;
    if (kept) this.#entrance.refuseToKeep();
    const items = (this.#validation?.checkSync(given) ?? given) as readonly T[];
    if (options.idempotencyKey !== undefined) {
      return this.#keyed.addBulkSync(items, keysOf(given, options));
    }
    const accepted = this.#acceptAll(items, 0, kept);
    const results = this.#runner.intake.addInside(this.#queue, accepted, options.tx);
    this.#runner.addedInside(this.#queue, accepted, results);
    return results;
  }

  /**
   * Stores one item, as `add` does, and resolves with its own result out of `ctx.results([...])`
   * once the end of its batch is stored, in whichever process; with `undefined` when the handler
   * says nothing of results. However the waiting ends, the item is stored and goes on.
   *
   * @param options.timeoutMs how long to wait for the result. Default: for as long as it takes
   * @param options.signal ends the waiting
   * @param options.idempotencyKey a repeat waits for the item that was stored first
   * @throws `ITEM_FAILED` when the item is dead, `ITEM_LEFT_OUT` when `beforeFlush` left it out,
   * `RESULT_TIMEOUT`, `RESULT_UNKNOWN`, `STOPPED` when the engine stops first, `OPTION_INVALID`
   * with `deduplicateBy`; and as `add`. The item's id is `error.value`
   */
  async submit(item: T, options: SubmitOptions = {}): Promise<ResultOf<R>> {
    const { idempotencyKey } = options;
    const add = (): Promise<AddResult> => this.#addWith(item, { idempotencyKey, keepResult: true });
    return this.#submissions.submit(add, options);
  }

  /**
   * What became of an item that was added by `submit`, or with `keepResult`, in whichever process.
   *
   * @param id as `add` returned it
   * @param options.timeoutMs how long to wait for its end. Default 0: not at all
   * @throws `OPTION_INVALID`, `STOPPED`, `STORAGE_BUSY`, `STORAGE_FAILED`
   */
  async result(id: string, options: WaitOptions = {}): Promise<ItemStatus<ResultOf<R>>> {
    return this.#submissions.result(id, options);
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
    tellBatch(this.#queue, "flushed", group);
  }

  /** Hands nothing over any more, in every process, also after a restart. Adds still land. */
  async pause(): Promise<void> {
    await this.#runner.ready();
    await this.#runner.storage.setPaused([this.#queue.id], true);
    tellBatch(this.#queue, "paused");
    // Whoever waits in flush() is told at once.
    this.#runner.progressed.notify();
  }

  /** The inverse of `pause`. */
  async resume(): Promise<void> {
    await this.#runner.ready();
    await this.#runner.storage.setPaused([this.#queue.id], false);
    tellBatch(this.#queue, "resumed");
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
    tellBatch(this.#queue, "drained");
  }

  /**
   * Calls `listener` whenever `event` happens to this definition in this process, at once and
   * before the engine goes on: keep it short. What it throws is logged and harms nothing. See
   * {@link BatchEvents}; `bw.on` hears all definitions.
   *
   * @returns a function that removes the listener
   * @throws `OPTION_INVALID` for no known event
   */
  on<K extends keyof BatchEvents>(event: K, listener: Listener<BatchEvents[K]>): () => void {
    return this.#queue.events.on(event, listener);
  }

  /** Items accepted and not yet handed to a handler, in one group or in all. */
  async getBufferSize(group?: string): Promise<number> {
    await this.#runner.ready();
    return (await this.#runner.storage.counts(this.#queue.id, group ?? null)).waiting;
  }

  /** Counts over all processes, and the batches that run now. */
  async status(): Promise<BatchStatus> {
    await this.#runner.ready();
    return statusOf(this.#runner.storage, this.#queue);
  }

  /**
   * Batches of this definition that are over and still kept, newest first: the latest 10,000, or
   * 1,000 in memory. Changes nothing.
   *
   * @throws `OPTION_INVALID` for a `limit` or `before` that is none
   */
  async history(query?: BatchHistoryQuery): Promise<FinishedBatch[]> {
    return historyOf(this.#runner, this.#queue, query);
  }

  /**
   * Hands the items of a batch that is done over once more, as a new batch of new items, due at
   * once and with all attempts. `removeOnComplete` says which batches are kept for it.
   *
   * @throws `NOT_KEPT`, `OPTION_INVALID` for what is no `batchId`
   */
  async replay(batchId: string): Promise<Replayed> {
    return replayed(this.#runner, this.#queue, batchId);
  }

  /** Why what waits was not handed over yet, and when it will be; of one group or of all. */
  async explain(group?: string): Promise<Explanation> {
    return explain(this.#runner, this.#queue, group);
  }

  async #addWith(item: T, options: AddOptions): Promise<AddResult> {
    const [result] = await this.addBulk([item], forBulk(options));
    return result as AddResult;
  }

  async #addWithin(items: readonly T[], tx: unknown, kept: boolean): Promise<AddResult[]> {
    const accepted = this.#acceptAll(items, 0, kept);
    const results = await this.#runner.intake.addWithin(this.#queue, accepted, tx);
    this.#runner.addedInside(this.#queue, accepted, results);
    return results;
  }

  /**
   * All items as the intake takes them. Throws `CALL_TOO_LARGE`, or what one of them is refused
   * for. The first `room` of them will share a chunk with others. `kept`: so are their results.
   */
  #acceptAll(items: readonly T[], room: number, kept: boolean): IntakeItem[] {
    checkCallItems(items.length);
    const accepted: IntakeItem[] = [];
    let bytes = 0;
    let size = room > 0 ? room : this.#queue.chunkSize;
    for (let from = 0; from < items.length; size = this.#queue.chunkSize) {
      // In pieces of a chunk each, so that chunks are as full as if items came one by one.
      const piece = items.slice(from, from + size);
      from += size;
      for (const one of this.#entrance.accepted(piece, kept)) {
        bytes += one.bytes;
        accepted.push(one);
      }
    }
    checkCallBytes(bytes);
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
    for (let asked = 0; ; asked++) {
      if (runner.stopped) {
        throw new BatchworkError("STOPPED", "The engine stopped before everything had run.");
      }
      // Registered before the question, so an answer that changes meanwhile is not missed.
      const progressed = runner.news(asked);
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
