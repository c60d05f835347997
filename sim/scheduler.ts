/**
 * Virtual time for several processes at once. Nothing happens between two events; after each one
 * everything that promises can do is done before the next.
 */
import type { Clock, Timer } from "../packages/batchwork/src/core/clock.ts";
import { systemClock, turn } from "../packages/batchwork/src/runtime/clock.ts";
import type { Rng } from "./rng.ts";

/** Wall time at virtual time 0. */
const EPOCH = Date.UTC(2026, 0, 1);

/** Timers fire up to this much late, `soon` up to a twentieth: so processes interleave. */
const JITTER_MS = 1;

interface Event {
  at: number;
  readonly clock: ProcessClock;
  readonly fn: () => void;
  /** True for a timer of the engine. */
  readonly timed: boolean;
}

export class Scheduler {
  /** Virtual time, ms; has a fraction. Also every process's monotonic time. */
  now = 0;
  /** Events that have fired. */
  fired = 0;
  /** The furthest that a storage clock can have come, if it only ever follows its inputs. */
  timeBound = EPOCH;
  readonly #rng: Rng;
  /** Last first. There are a few dozen, so an array is as fast as anything. */
  readonly #events: Event[] = [];
  /** What the machine's wall clock is off by. */
  #offset = 0;
  /** The most that a process's wall clock was ever ahead of the machine's. */
  #furthest = 0;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  get offset(): number {
    return this.#offset;
  }

  clock(): ProcessClock {
    return new ProcessClock(this, this.#rng);
  }

  /** Steps the wall clock of the whole machine. */
  stepWall(ms: number): void {
    this.#offset += ms;
    this.noteWall(0);
  }

  /** Some process's wall clock is off by this much besides. */
  noteWall(offset: number): void {
    this.#furthest = Math.max(this.#furthest, offset);
    this.timeBound = Math.max(this.timeBound, EPOCH + this.now + this.#offset + this.#furthest);
  }

  wallMs(offset: number): number {
    return Math.floor(EPOCH + this.now + offset);
  }

  schedule(at: number, clock: ProcessClock, fn: () => void, timed: boolean): Event {
    const event = { at, clock, fn, timed };
    this.insert(event);
    return event;
  }

  insert(event: Event): void {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle] as Event).at > event.at) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
  }

  cancel(event: Event): void {
    const index = this.#events.indexOf(event);
    if (index >= 0) this.#events.splice(index, 1);
  }

  /** Lets time pass, firing what falls into it; `afterEach` is called when all is at rest again. */
  async pass(ms: number, afterEach: () => void): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const next = this.#events.at(-1);
      if (next === undefined || next.at > end) break;
      this.#events.pop();
      this.#moveTo(next.at);
      if (!next.clock.take(next)) continue;
      this.fired++;
      next.fn();
      await this.rest();
      afterEach();
    }
    this.#moveTo(end);
  }

  /** Resolves when no promise has anything left to do. */
  async rest(): Promise<void> {
    await turn(systemClock);
  }

  #moveTo(at: number): void {
    if (at <= this.now) return;
    this.timeBound += at - this.now;
    this.now = at;
  }
}

/** The clock of one life of one process. */
export class ProcessClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #rng: Rng;
  readonly #pending = new Set<Event>();
  #held: Event[] = [];
  #pausedUntil = 0;
  #dead = false;
  #soonAt = 0;
  /** What this process's wall clock is off by, besides the machine's. */
  #offset = 0;

  constructor(scheduler: Scheduler, rng: Rng) {
    this.#scheduler = scheduler;
    this.#rng = rng;
  }

  /** Timers that are set now, but for those of {@link beside}. */
  get timers(): number {
    return [...this.#pending].filter(({ timed }) => timed).length;
  }

  /** The same clock for what is not the engine's: handlers that sleep, a storage that is slow. */
  beside(): Clock {
    return {
      wallMs: () => this.wallMs(),
      monotonicMs: () => this.monotonicMs(),
      random: () => this.random(),
      soon: (fn) => this.soon(fn),
      after: (ms, fn) => this.#after(ms, fn, false),
    };
  }

  get dead(): boolean {
    return this.#dead;
  }

  get paused(): boolean {
    return this.#scheduler.now < this.#pausedUntil;
  }

  wallMs(): number {
    return this.#scheduler.wallMs(this.#scheduler.offset + this.#offset);
  }

  monotonicMs(): number {
    return this.#scheduler.now;
  }

  random(): number {
    return this.#rng.unit();
  }

  after(ms: number, fn: () => void): Timer {
    return this.#after(ms, fn, true);
  }

  #after(ms: number, fn: () => void, timed: boolean): Timer {
    if (this.#dead) return { cancel: () => undefined };
    const late = this.#rng.unit() * JITTER_MS;
    const event = this.#set(this.#scheduler.now + Math.max(0, ms) + late, fn, timed);
    return { cancel: () => this.#drop(event) };
  }

  soon(fn: () => void): void {
    if (this.#dead) return;
    // In the order in which they were asked for, as in a real process.
    const at = this.#scheduler.now + (this.#rng.unit() * JITTER_MS) / 20;
    this.#soonAt = Math.max(this.#soonAt, at);
    this.#set(this.#soonAt, fn, false);
  }

  /** Nothing of the process ever runs again. */
  kill(): void {
    this.#dead = true;
    for (const event of this.#pending) this.#scheduler.cancel(event);
    this.#pending.clear();
    this.#held = [];
  }

  /** Holds everything back for a while, as a suspended process does. Time goes on. */
  suspend(ms: number): void {
    const until = this.#scheduler.now + ms;
    if (until <= this.#pausedUntil) return;
    this.#pausedUntil = until;
    this.#scheduler.schedule(until, this, () => this.#resume(), false);
  }

  /** Steps the wall clock of this process alone. */
  stepWall(ms: number): void {
    this.#offset += ms;
    this.#scheduler.noteWall(this.#offset);
  }

  /** Called when an event is due: false when it is not to run now. */
  take(event: Event): boolean {
    if (!this.#pending.has(event)) return !this.#dead;
    if (this.paused) {
      this.#held.push(event);
      return false;
    }
    this.#pending.delete(event);
    return true;
  }

  #set(at: number, fn: () => void, timed: boolean): Event {
    const event = this.#scheduler.schedule(at, this, fn, timed);
    this.#pending.add(event);
    return event;
  }

  #drop(event: Event): void {
    this.#scheduler.cancel(event);
    this.#pending.delete(event);
    if (this.#held.length > 0) this.#held = this.#held.filter((other) => other !== event);
  }

  #resume(): void {
    if (this.paused) return;
    const held = this.#held;
    this.#held = [];
    for (const event of held) {
      event.at = this.#scheduler.now;
      this.#scheduler.insert(event);
    }
  }
}
