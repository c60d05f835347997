/** `submit` and `result`: an item's own result, for whoever added it. */
import type { Clock } from "../core/clock.ts";
import { BatchworkError, revivedError } from "../core/errors.ts";
import { WAIT_MS_MAX } from "../core/limits.ts";
import type { FinishedResult, FoundResult } from "../storage/results.ts";
import type { AddResult } from "./intake.ts";
import type { ItemStatus, WaitOptions } from "./item-results.ts";
import type { Queue } from "./queue.ts";
import { ResultWaiters, type ResultSource } from "./result-waiters.ts";

/** Whoever did not say how long to wait. */
const NO_TIMEOUT = Number.POSITIVE_INFINITY;

export class Submissions<X> {
  readonly #queue: Queue;
  readonly #source: ResultSource & { ready(): Promise<void> };
  readonly #clock: Clock;

  constructor(queue: Queue, source: ResultSource & { ready(): Promise<void> }, clock: Clock) {
    this.#queue = queue;
    this.#source = source;
    this.#clock = clock;
  }

  /** The result of the item that `add` stores. */
  async submit(add: () => Promise<AddResult>, options: WaitOptions): Promise<X> {
    const { signal, timeoutMs = NO_TIMEOUT } = options;
    checkTimeout(timeoutMs);
    signal?.throwIfAborted();
    const { id, duplicate } = await add();
    // The first one may have ended long ago.
    const known = duplicate ? await this.#find(id) : undefined;
    if (known !== undefined && known.status !== "pending") return this.#resultOf(id, known);
    const found = await this.#wait(id, timeoutMs, signal);
    if (found === "late") throw late(id, timeoutMs);
    return this.#resultOf(id, found ?? { status: "unknown" });
  }

  /** What became of an item, or is known of it after `timeoutMs`. */
  async result(id: string, options: WaitOptions): Promise<ItemStatus<X>> {
    const { signal, timeoutMs = 0 } = options;
    checkTimeout(timeoutMs);
    signal?.throwIfAborted();
    await this.#source.ready();
    const found = await this.#find(id);
    if (found.status !== "pending" || timeoutMs === 0) return this.#statusOf(found);
    const awaited = await this.#wait(id, timeoutMs, signal);
    if (awaited === "late") return { status: "pending" };
    return this.#statusOf(awaited ?? { status: "unknown" });
  }

  async #find(id: string): Promise<FoundResult> {
    const [found] = await this.#source.storage.findResults(this.#queue.id, [id]);
    return found as FoundResult;
  }

  /** Waits for the item's end, or until it is too late. */
  async #wait(
    id: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<FinishedResult | null | "late"> {
    this.#queue.waiters ??= new ResultWaiters(this.#queue, this.#source, this.#clock);
    const { waiters } = this.#queue;
    const over = new AbortController();
    const timer =
      timeoutMs === NO_TIMEOUT ? undefined : this.#clock.after(timeoutMs, () => over.abort(over));
    const signals = signal === undefined ? [over.signal] : [over.signal, signal];
    try {
      return await waiters.wait(id, AbortSignal.any(signals));
    } catch (error) {
      if (error === over) return "late";
      throw error;
    } finally {
      timer?.cancel();
    }
  }

  /** Throws what the item ended with instead. */
  #resultOf(id: string, found: FoundResult): X {
    const status = this.#statusOf(found);
    if (status.status === "succeeded") return status.result;
    const { name } = this.#queue;
    if (status.status !== "failed") {
      const message =
        `Nothing is known of what became of item ${id} of "${name}": its result is kept no ` +
        "longer, or was never to be kept because it was added first by add().";
      throw new BatchworkError("RESULT_UNKNOWN", message, { value: id });
    }
    const { error: cause } = status;
    if ("code" in cause && cause.code === "ITEM_LEFT_OUT") {
      throw new BatchworkError("ITEM_LEFT_OUT", cause.message, { value: id });
    }
    const message = `Item ${id} of "${name}" is dead: ${cause.message}`;
    throw new BatchworkError("ITEM_FAILED", message, { value: id, cause });
  }

  #statusOf(found: FoundResult): ItemStatus<X> {
    if (found.status !== "finished") return found;
    const { kind, value, error } = found;
    const endedAt = new Date(found.endedAt);
    if (kind === "success") {
      const result = (value === null ? undefined : this.#queue.decode([value])[0]) as X;
      return { status: "succeeded", result, endedAt };
    }
    const stored = error ?? { name: "Error", message: "No reason was kept." };
    return { status: "failed", error: revivedError(stored), endedAt };
  }
}

function late(id: string, timeoutMs: number): BatchworkError {
  const message = `Item ${id} had no result in ${timeoutMs} ms. It goes on: ask result(id) later.`;
  return new BatchworkError("RESULT_TIMEOUT", message, { field: "timeoutMs", value: id });
}

function checkTimeout(value: number): void {
  if (value === NO_TIMEOUT || (Number.isSafeInteger(value) && value >= 0 && value <= WAIT_MS_MAX)) {
    return;
  }
  const range = `a whole number of ms from 0 to ${WAIT_MS_MAX}, or Infinity`;
  const message = `timeoutMs must be ${range}, not ${String(value)}.`;
  throw new BatchworkError("OPTION_INVALID", message, { field: "timeoutMs", value });
}
