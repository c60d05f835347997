/**
 * Group commit of items with idempotency keys, apart from all others: a key may have to wait for
 * somebody's open transaction, and then nobody else waits with it. Calls that have a key in common
 * go one after the other.
 */
import type { Timer } from "../core/clock.ts";
import type { KeyedAnswer } from "../core/keyed.ts";
import type { Storage } from "../storage/storage.ts";
import type { AddResult } from "./intake.ts";
import { checkFits } from "../core/pending.ts";
import { KeyLines } from "./key-lines.ts";
import { KeyedCall, KeyedRequest, type KeyedIntakeItem, type KeyedQueue } from "./keyed-call.ts";
import { stopped } from "./limited-intake.ts";
import type { LandedChunk } from "./open-chunk.ts";
import type { Soon } from "./soon.ts";

/** A commit grows no larger than this. A key costs more than an item does. */
const COMMIT_ITEMS_MAX = 10_000;
const COMMIT_BYTES_MAX = 16 * 1024 * 1024;

/** How often a call that waits for a transaction of somebody else's is tried again, ms. */
const BUSY_PAUSE_MS = 50;

/** After that it is given up, ms. */
const BUSY_MS_MAX = 30_000;

export class KeyedIntake {
  readonly #soon: Soon;
  readonly #storage: Storage;
  /** Resolves once the storage is open and the queues have their ids. */
  readonly #ready: () => Promise<void>;
  /** Resolves when there may be room in queues that have a limit. */
  readonly #news: (nth: number) => Promise<void>;
  readonly #appended: (chunks: readonly LandedChunk[]) => void;
  readonly #lines = new KeyLines();
  /** Calls for the next commits. */
  readonly #next: KeyedCall[] = [];
  #committing = false;
  /** Calls that wait for room in their queues. */
  #full: KeyedCall[] = [];
  /** The same, and those of them that are just being tried again. */
  readonly #withoutRoom = new Set<KeyedCall>();
  #awaitingRoom = false;
  /** Calls that wait for transactions of others. */
  readonly #busy: KeyedCall[] = [];
  #timer: Timer | undefined;
  #retrying: Promise<void> | undefined;
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  constructor(
    soon: Soon,
    storage: Storage,
    ready: () => Promise<void>,
    news: (nth: number) => Promise<void>,
    appended: (chunks: readonly LandedChunk[]) => void,
  ) {
    this.#soon = soon;
    this.#storage = storage;
    this.#ready = ready;
    this.#news = news;
    this.#appended = appended;
  }

  /** Stores the items of a call, all of them or none. Resolves after the commit. */
  async add(queue: KeyedQueue, items: readonly KeyedIntakeItem[]): Promise<AddResult[]> {
    this.#refuseWhenClosed();
    if (items.length === 0) return [];
    const call = new KeyedCall(queue, items);
    if (queue.maxPending !== undefined) {
      checkFits(queue.maxPending, { items: call.items.length, bytes: call.bytes });
    }
    const [key] = call.keys;
    const ahead = key === undefined ? undefined : this.#lines.first(call.scope, key);
    if (ahead?.equals(call) === true) {
      return (await ahead.promise).map(({ id }) => ({ id, duplicate: true }));
    }
    if (this.#lines.enter(call)) this.#enqueue(call);
    return call.promise;
  }

  /** Stores them inside the caller's open transaction, before it returns. */
  addInside(queue: KeyedQueue, items: readonly KeyedIntakeItem[], tx: unknown): AddResult[] {
    this.#refuseWhenClosed();
    if (items.length === 0) return [];
    const call = new KeyedCall(queue, items);
    const [answer] = this.#storage.appendKeyedInside(tx, new KeyedRequest([call]).append);
    return call.results(answer as KeyedAnswer);
  }

  /** The same, asynchronously. */
  async addWithin(
    queue: KeyedQueue,
    items: readonly KeyedIntakeItem[],
    tx: unknown,
  ): Promise<AddResult[]> {
    this.#refuseWhenClosed();
    if (items.length === 0) return [];
    const call = new KeyedCall(queue, items);
    await this.#ready();
    const { append } = new KeyedRequest([call]);
    const [answer] = await this.#storage.appendKeyedWithin(tx, append);
    return call.results(answer as KeyedAnswer);
  }

  /** How many calls wait for room. `scope`: that of their queue. */
  waiting(scope: object): number {
    return [...this.#withoutRoom].filter((call) => call.scope === scope).length;
  }

  /**
   * Resolves when everything that was added before is committed, or has been rejected; except what
   * waits for a transaction of somebody else's.
   */
  async settled(): Promise<void> {
    while (this.#next.length > 0 || this.#committing) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** Takes no new items. What waits for transactions of others is given up. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    for (const call of this.#busy.splice(0)) this.#answer(call, { kind: "busy" });
    for (const call of this.#full.splice(0)) this.#giveUp(call);
    await this.#retrying;
    await this.settled();
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw stopped();
  }

  #enqueue(call: KeyedCall): void {
    this.#next.push(call);
    if (!this.#committing && this.#next.length === 1) this.#schedule();
  }

  #schedule(): void {
    this.#soon.run(() => void this.#run());
  }

  async #run(): Promise<void> {
    const calls = this.#take();
    this.#committing = true;
    await this.#commit(calls);
    this.#committing = false;
    if (this.#next.length > 0) this.#schedule();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #take(): KeyedCall[] {
    let items = 0;
    let bytes = 0;
    let count = 0;
    for (const call of this.#next) {
      items += call.items.length;
      bytes += call.bytes;
      if (count > 0 && (items > COMMIT_ITEMS_MAX || bytes > COMMIT_BYTES_MAX)) break;
      count++;
    }
    return this.#next.splice(0, count);
  }

  /** Never rejects: what goes wrong is told to each call. */
  async #commit(calls: readonly KeyedCall[]): Promise<void> {
    let request: KeyedRequest;
    let answers: readonly KeyedAnswer[];
    try {
      await this.#ready();
      request = new KeyedRequest(calls);
      answers = await this.#storage.appendKeyed(request.append);
    } catch (error) {
      for (const call of calls) {
        call.fail(error);
        this.#leave(call);
      }
      return;
    }
    this.#appended(request.landed(answers));
    for (const [n, call] of calls.entries()) this.#answer(call, answers[n] as KeyedAnswer);
  }

  #answer(call: KeyedCall, answer: KeyedAnswer): void {
    const patient = !this.#closed && call.waitedMs < BUSY_MS_MAX;
    if (answer.kind === "busy" && patient) {
      this.#busy.push(call);
      this.#retryLater();
      return;
    }
    if (answer.kind === "full" && call.mayWait(answer.need)) {
      if (this.#closed) this.#giveUp(call);
      else this.#waitForRoom(call);
      return;
    }
    call.answer(answer);
    this.#leave(call);
  }

  #giveUp(call: KeyedCall): void {
    call.fail(stopped());
    this.#leave(call);
  }

  #waitForRoom(call: KeyedCall): void {
    this.#full.push(call);
    this.#withoutRoom.add(call);
    if (!this.#awaitingRoom) void this.#awaitRoom();
  }

  async #awaitRoom(): Promise<void> {
    this.#awaitingRoom = true;
    for (let asked = 0; this.#full.length > 0; asked++) {
      await this.#news(asked);
      const calls = this.#full;
      this.#full = [];
      if (calls.length > 0) await this.#commit(calls);
    }
    this.#awaitingRoom = false;
  }

  /** Who waited for one of its keys may go. */
  #leave(call: KeyedCall): void {
    this.#withoutRoom.delete(call);
    for (const next of this.#lines.leave(call)) this.#enqueue(next);
  }

  /** One of them at a time, so that they take no more than one connection from the others. */
  #retryLater(): void {
    if (this.#timer !== undefined || this.#retrying !== undefined) return;
    const pauseMs = BUSY_PAUSE_MS / this.#busy.length;
    for (const call of this.#busy) call.waitedMs += pauseMs;
    this.#timer = this.#soon.after(pauseMs, () => {
      this.#timer = undefined;
      this.#retrying = this.#retry();
    });
  }

  async #retry(): Promise<void> {
    const call = this.#busy.shift();
    if (call !== undefined) await this.#commit([call]);
    this.#retrying = undefined;
    if (this.#busy.length > 0) this.#retryLater();
  }
}
