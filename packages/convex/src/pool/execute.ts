/**
 * The executor: one action that runs many items, a few at a time, settles them in groups and takes
 * more while there is more. It runs in our action, and in the app's for a `BatchWorkpool`.
 */
import { FLIGHT_BYTES_MAX, SETTLE_BYTES_MAX, bytesOf, errorText } from "../base/sizes.js";
import { isNonRetryableError } from "./errors.js";
import { SETTLE_COUNT, SETTLE_COUNT_MAX, SETTLE_MS, SETTLE_SERIAL_MS, TAKE_MS } from "./limits.js";
import { outcomeOf, retryAt } from "./outcome.js";
import type { ExecutorPort, SettleReply } from "./port.js";
import { Stock, type Returned, type Stocked } from "./stock.js";
import { within } from "./timeout.js";
import type { Outcome, Result, Taken } from "./validators.js";

interface Ended {
  readonly outcome: Outcome;
  readonly bytes: number;
  readonly at: number;
  /** Items of a key count one per row. */
  readonly weight: number;
}

/** Looks for more come sooner at first: the loop answers within a turn. */
const LOOKS_MS = [30, 60, 120, 250];

/** How long a settlement that failed waits before it is tried again, ms; doubled each time. */
const SETTLE_RETRY_MS = 200;
const SETTLE_TRIES_MAX = 6;
/** A group is halved soon: it is more likely too large than the platform is down. */
const GROUP_TRIES_MAX = 2;

export class Executor {
  readonly #port: ExecutorPort;
  readonly #token: string;
  readonly #takeMs: number;
  readonly #startedAt = Date.now();
  readonly #stock = new Stock();
  /** Items of each row that have not ended. */
  readonly #open = new Map<Outcome["work"], number>();
  readonly #ended: Ended[] = [];
  readonly #back: Returned[] = [];
  #running = 0;
  #flightBytes = 0;
  #slots = 0;
  #taken = 0;
  /** The latest round that is known to be assigned. */
  #upTo = 0;
  /** An outcome could not be settled: its place is the watch's to bring back. */
  #abandoned = false;
  #settled = 0;
  /** More work than runs was waiting when last heard. */
  #parked = false;
  #asked = false;
  #looks = 0;
  #lost = false;
  /** It has fewer slots than it began with, for the sake of others. */
  #isReduced = false;
  #settling = false;
  #looking = false;
  #changed = Promise.withResolvers<void>();

  /** `takeMs`: how long it takes more. */
  constructor(port: ExecutorPort, token: string, takeMs = TAKE_MS) {
    this.#port = port;
    this.#token = token;
    this.#takeMs = takeMs;
  }

  /** Runs until nothing is left to do, or the run was superseded. `upTo`: the first rounds. */
  async run(upTo: number): Promise<void> {
    await this.#take(upTo);
    while (!this.#lost) {
      if (this.#slots === 0) this.#giveBack();
      this.#startItems();
      if (this.#isDry() && !this.#settling && !this.#looking) {
        if (await this.#end()) return;
        continue;
      }
      if (!this.#settling && this.#isSettlementDue()) void this.#settle();
      if (!this.#looking && this.#isLow()) {
        if (this.#upTo > this.#taken && this.#hasRoom()) void this.#takeMore();
        else if (this.#asked) void this.#look();
      }
      await this.#next();
    }
  }

  /** Waits until something changed: an item ended, a call returned, a delay is over. */
  async #next(): Promise<void> {
    await this.#changed.promise;
    this.#changed = Promise.withResolvers();
  }

  #wake(): void {
    this.#changed.resolve();
  }

  #after(ms: number, then: () => void): void {
    setTimeout(then, ms);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#after(ms, resolve);
    });
  }

  #isDry(): boolean {
    return this.#running === 0 && this.#stock.size === 0;
  }

  #isRetiring(): boolean {
    return Date.now() - this.#startedAt > this.#takeMs;
  }

  #isLow(): boolean {
    if (this.#isRetiring() || this.#slots === 0) return false;
    return this.#stock.ready < Math.max(this.#slots, SETTLE_COUNT);
  }

  #hasRoom(): boolean {
    return this.#flightBytes < FLIGHT_BYTES_MAX / 2;
  }

  // ── Running ──────────────────────────────────────────────────────────────────────────────────

  #startItems(): void {
    while (this.#running < this.#slots) {
      const next = this.#stock.next();
      if (next === undefined) return;
      this.#running++;
      void this.#runItem(next);
    }
  }

  /** The pool is paused: rows of which nothing runs go back. */
  #giveBack(): void {
    for (const { work, items, bytes, weight } of this.#stock.drain()) {
      this.#flightBytes -= bytes;
      this.#open.delete(work);
      this.#back.push({ work, items, bytes, weight });
    }
  }

  async #runItem({ taken, item, bytes }: Stocked): Promise<void> {
    let result: Result;
    let again: number | null = null;
    try {
      const call = this.#port.call(taken.fn, item.args as object);
      const returnValue = await within(call, taken.fn.timeoutMs);
      result = { kind: "success", returnValue: returnValue ?? null };
    } catch (thrown) {
      result = { kind: "failed", error: errorText(thrown) };
      if (!isNonRetryableError(thrown)) {
        again = retryAt(taken.retry, taken.attempts, Date.now(), Math.random());
      }
    }
    this.#running--;
    this.#flightBytes -= bytes;
    const isCut = again !== null && taken.serial === true;
    for (const { bytes: unused } of this.#stock.ended(taken, isCut)) this.#flightBytes -= unused;
    if (isCut) this.#open.delete(taken.work);
    const outcome = outcomeOf(taken, item, result);
    this.#keep(taken, again === null ? outcome : { ...outcome, retryAt: again });
    this.#wake();
  }

  #keep(taken: Taken, outcome: Outcome): void {
    let bytes = bytesOf(outcome);
    let kept = outcome;
    if (bytes > SETTLE_BYTES_MAX && outcome.result.kind === "success") {
      const error = `The return value is too large: ${bytes} bytes, at most ${SETTLE_BYTES_MAX}.`;
      kept = { ...outcome, result: { kind: "failed", error } };
      bytes = bytesOf(kept);
    }
    const open = (this.#open.get(outcome.work) ?? 1) - 1;
    if (open > 0) this.#open.set(outcome.work, open);
    else this.#open.delete(outcome.work);
    const isSerial = taken.serial === true;
    const weight = isSerial && open > 0 ? 0 : 1;
    // Others of its key may wait for it.
    const waitMs = isSerial && open <= 0 ? SETTLE_SERIAL_MS : SETTLE_MS;
    if (this.#ended.length === 0 || isSerial) this.#after(waitMs, () => this.#wake());
    const at = Date.now() - (SETTLE_MS - waitMs);
    this.#ended.push({ outcome: kept, bytes, at, weight });
  }

  // ── Settling ─────────────────────────────────────────────────────────────────────────────────

  #isSettlementDue(): boolean {
    const [oldest] = this.#ended;
    if (this.#parked && !this.#asked && this.#isLow()) return true;
    if (oldest === undefined) return this.#back.length > 0;
    if (this.#ended.length >= 2 * SETTLE_COUNT) return true;
    if (this.#ended.length >= SETTLE_COUNT && this.#isAligned()) return true;
    if (this.#ended.some(({ at }) => Date.now() - at >= SETTLE_MS)) return true;
    return this.#ended.reduce((sum, { bytes }) => sum + bytes, 0) >= SETTLE_BYTES_MAX;
  }

  /** Every work row that ended at all has ended as a whole: no row is written twice. */
  #isAligned(): boolean {
    return !this.#ended.some(({ outcome }) => this.#open.has(outcome.work));
  }

  /** As many outcomes as one settlement carries. */
  #group(): Ended[] {
    const group: Ended[] = [];
    let bytes = 0;
    for (const ended of this.#ended) {
      bytes += ended.bytes;
      if (group.length > 0 && (bytes > SETTLE_BYTES_MAX || group.length >= SETTLE_COUNT_MAX)) break;
      group.push(ended);
    }
    return group;
  }

  async #settle(): Promise<void> {
    this.#settling = true;
    await this.#settleGroup(this.#group(), false);
    this.#settling = false;
    this.#wake();
  }

  /** Settles what is left, and ends the run. False when there is more to do. */
  async #end(): Promise<boolean> {
    const group = this.#group();
    const isLast = group.length === this.#ended.length && !this.#abandoned;
    if (group.length === 0 && this.#abandoned && this.#back.length === 0) return true;
    const reply = await this.#settleGroup(group, isLast);
    if (reply?.upTo !== undefined) await this.#take(reply.upTo);
    return this.#lost || (reply?.ended ?? false);
  }

  /**
   * Settles a group; one that fails as a whole is halved, and a single outcome that cannot be
   * settled is given up, so that it holds back nobody else's.
   */
  async #settleGroup(group: readonly Ended[], end: boolean): Promise<SettleReply | null> {
    const tries = group.length > 1 ? GROUP_TRIES_MAX : SETTLE_TRIES_MAX;
    let reply: SettleReply | null;
    const low = this.#isLow();
    // With nothing in stock and nothing more to come, idle slots are worth more elsewhere.
    const isSpare =
      this.#stock.size === 0 && this.#running > 0 && (!this.#parked || this.#isRetiring());
    const inUse = isSpare ? this.#running : Math.max(this.#slots, this.#running);
    // What goes back is said with the last outcomes, for some of them may be of the same rows.
    const back = group.length === this.#ended.length ? [...this.#back] : [];
    const weight = sumOf(group) + sumOf(back);
    try {
      reply = await this.#attempt(tries, () =>
        this.#port.settle({
          token: this.#token,
          outcomes: group.map(({ outcome }) => outcome),
          settled: this.#settled,
          ...(weight === group.length ? {} : { weight }),
          ...(back.length === 0 ? {} : { back: back.map(({ work }) => work) }),
          low,
          end,
          ...(isSpare || this.#isReduced ? { slots: inUse } : {}),
        }),
      );
    } catch {
      if (group.length <= 1) {
        this.#ended.splice(0, group.length);
        this.#abandoned = true;
        return null;
      }
      const middle = Math.ceil(group.length / 2);
      await this.#settleGroup(group.slice(0, middle), false);
      return this.#lost ? null : this.#settleGroup(group.slice(middle), end && !this.#abandoned);
    }
    if (reply === null) {
      this.#lost = true;
      return null;
    }
    this.#settled += sumOf(this.#ended.splice(0, reply.dealt));
    if (reply.dealt === group.length) this.#settled += sumOf(this.#back.splice(0, back.length));
    this.#asked = low && reply.parked && reply.keep !== 0;
    this.#parked = reply.parked;
    if (isSpare) this.#slots = Math.min(this.#slots, this.#running);
    this.#heed(reply.keep);
    return reply;
  }

  /** Makes do with fewer slots. They are free when what runs in them has ended. */
  #heed(keep: number | undefined): void {
    if (keep === undefined || keep >= this.#slots) return;
    this.#slots = keep;
    this.#isReduced = true;
  }

  /** Tries a settlement again while the platform is at fault. */
  async #attempt<R>(triesMax: number, call: () => Promise<R>): Promise<R> {
    for (let tries = 1; ; tries++) {
      try {
        return await call();
      } catch (thrown) {
        if (tries >= triesMax) throw thrown;
        await this.#pause(SETTLE_RETRY_MS * 2 ** (tries - 1));
      }
    }
  }

  // ── Taking ───────────────────────────────────────────────────────────────────────────────────

  /** Asks whether the loop has assigned what was asked for. */
  async #look(): Promise<void> {
    this.#looking = true;
    try {
      const delay = LOOKS_MS[Math.min(this.#looks++, LOOKS_MS.length - 1)] as number;
      await this.#pause(delay);
      const found = await this.#port.waiting({ token: this.#token });
      if (found === null) {
        this.#lost = true;
        return;
      }
      this.#parked = found.parked;
      this.#heed(found.keep);
      if (found.upTo > this.#taken) await this.#take(found.upTo);
      else if (this.#looks >= LOOKS_MS.length) {
        // What waits is not for this run: its idle slots may be.
        this.#asked = false;
        this.#parked = false;
      }
    } finally {
      this.#looking = false;
      this.#wake();
    }
  }

  async #takeMore(): Promise<void> {
    this.#looking = true;
    await this.#take(this.#upTo);
    this.#looking = false;
    this.#wake();
  }

  async #take(upTo: number): Promise<void> {
    this.#upTo = Math.max(this.#upTo, upTo);
    const room = FLIGHT_BYTES_MAX - this.#flightBytes;
    const found = await this.#port.take({ token: this.#token, upTo, room });
    if (found === null) {
      this.#lost = true;
      return;
    }
    this.#asked = false;
    this.#looks = 0;
    this.#parked = found.parked;
    this.#slots = this.#isReduced ? Math.min(this.#slots, found.slots) : found.slots;
    this.#taken = found.taken;
    for (const taken of found.rows) {
      this.#flightBytes += taken.bytes;
      const bytes = taken.bytes / Math.max(1, taken.items.length);
      if (taken.items.length > 0) this.#open.set(taken.work, taken.items.length);
      for (const item of taken.items) {
        if (item.canceled === true) this.#keep(taken, outcomeOf(taken, item, { kind: "canceled" }));
        else this.#stock.add({ taken, item, bytes });
      }
    }
  }
}

function sumOf(counted: readonly { readonly weight: number }[]): number {
  return counted.reduce((sum, { weight }) => sum + weight, 0);
}
