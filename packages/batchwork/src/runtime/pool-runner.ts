/**
 * The loop of the pools of one storage: settle tasks that ended, claim others, run them. It keeps
 * to the lease of the process, and to its gate, as the loop of the batches does.
 */
import type { Lease } from "../core/lease.ts";
import type { ClaimedSlice, PoolExchanged, TaskSettlement } from "../storage/pools.ts";
import type { Storage } from "../storage/storage.ts";
import { turn } from "./clock.ts";
import type { Companion } from "./companions.ts";
import type { LandedChunk } from "./open-chunk.ts";
import { TaskRoute } from "./pool-intake.ts";
import { tellAdded, tellSettled, tellStarted } from "./pool-observation.ts";
import { PRESSURE_RETRY_MS } from "./pressure.ts";
import { Rounds } from "./rounds.ts";
import { waitWhile, willRun } from "./shutdown.ts";
import { StorageTrouble } from "./storage-trouble.ts";
import type { Surroundings } from "./surroundings.ts";
import { TaskSlice, type EndedRun } from "./task-slice.ts";
import type { TaskQueue } from "./task-queue.ts";
import { Wake, type Signal } from "./wake.ts";

/** Tasks that ended are settled together, at the latest after so many ms. */
const SETTLE_MS = 4;

/** How much earlier than `tickIntervalMs` a look may come, so that processes look apart. */
const TICK_JITTER = 0.2;

/** How long after an add in a transaction that will be committed most are, ms. */
const COMMITTED_MS = 100;

/** How much longer an idle process waits where each look crosses a network. */
const REMOTE_IDLE = 2.5;

/** Handlers that are called without a turn of the event loop. */
const TASKS_PER_TURN = 500;

/** What is on its way to the storage. */
interface Taken {
  readonly slice: TaskSlice;
  readonly settlement: TaskSettlement;
  readonly ended: readonly EndedRun[];
}

/** What it takes from the loop of the batches. */
export interface PoolHost {
  readonly storage: Storage;
  readonly incarnation: number;
  /** Resolves once the storage is open and every queue has its id there. */
  readonly ready: () => Promise<void>;
  /** Notified whenever tasks were settled, or others may have settled some. */
  readonly progressed: Signal;
}

export class PoolRunner implements Companion {
  readonly #host: PoolHost;
  readonly #around: Surroundings;
  readonly #pools: TaskQueue[] = [];
  readonly #slices = new Map<number, TaskSlice>();
  /** Those with tasks that are to be settled. */
  readonly #dirty = new Set<TaskSlice>();
  readonly #wake: Wake;
  readonly #trouble: StorageTrouble;
  readonly #rounds: Rounds;
  /** Told of each settlement. */
  readonly #settledTasks: (pool: TaskQueue, ended: readonly EndedRun[], slice: TaskSlice) => void;
  #state: "idle" | "started" | "stopping" | "stopped" = "idle";
  #defined = 0;
  /** Somebody may have canceled what runs here. */
  #asks = false;
  /** Handlers that run, or are to begin. */
  #running = 0;
  /** Slices whose handlers are to be called. */
  readonly #toStart: TaskSlice[] = [];
  #starting = false;
  /** Tasks that ended since the last exchange. */
  #endedTasks = 0;

  constructor(
    host: PoolHost,
    around: Surroundings,
    settledTasks: (pool: TaskQueue, ended: readonly EndedRun[], slice: TaskSlice) => void,
  ) {
    this.#host = host;
    this.#around = around;
    this.#settledTasks = settledTasks;
    this.#rounds = new Rounds(around, {
      active: () => this.#state === "started" || this.#state === "stopping",
      round: async () => this.#round(),
      failed: "A look at the storage failed.",
    });
    this.#wake = new Wake(around.clock, () => void this.#rounds.tickSafely());
    this.#trouble = new StorageTrouble(around, (ms) => this.#wake.within(ms));
    around.gate.whenFree(this, () => this.#wake.now());
  }

  /** Adds a definition, before its queue is registered. */
  add(pool: TaskQueue): void {
    this.#pools.push(pool);
  }

  async ready(): Promise<void> {
    // Those that came while the storage was opened have no id yet: they are defined next.
    const pools = this.#pools.filter(({ id }) => id > 0);
    if (pools.length === this.#defined) return;
    await this.#host.storage.pools.define(
      pools.map(({ id: queue, callbacks, options }) => ({
        queue,
        callbacks: callbacks?.id ?? null,
        resultTtlMs: options.ttl,
      })),
    );
    this.#defined = pools.length;
    this.#wake.now();
  }

  start(): void {
    this.#state = "started";
    this.#wake.now();
  }

  look(ms = 0): void {
    if (ms > 0) this.#wake.within(ms);
    else this.#wake.now();
  }

  landed(chunks: readonly LandedChunk[]): readonly LandedChunk[] {
    if (!chunks.some(({ queue }) => queue instanceof TaskRoute)) return chunks;
    const rest: LandedChunk[] = [];
    for (const chunk of chunks) {
      const { queue: route } = chunk;
      if (route instanceof TaskRoute) {
        tellAdded(route, chunk);
        this.#added(route);
      } else rest.push(chunk);
    }
    return rest;
  }

  /** A transaction of somebody else's has tasks for the pool; whether it commits is not known. */
  committing(route: TaskRoute): void {
    const within = Math.max(COMMITTED_MS, route.maxWaitMs);
    this.#wake.now();
    this.#around.clock.after(COMMITTED_MS, () => this.#added(route));
    this.#wake.within(within);
  }

  tick(): Promise<void> {
    return this.#rounds.tick();
  }

  lose(code: "LEASE_LOST" | "STOPPED", message: string): void {
    for (const slice of this.#slices.values()) this.#lose(slice, code, message);
    this.#wake.now();
  }

  beat(doubt: boolean): void {
    this.#trouble.doubt ||= doubt;
    // Who canceled what runs here is told of at a look, also where there is no room for more.
    this.#asks ||= this.#slices.size > 0;
    if (doubt || this.#asks) this.#wake.now();
  }

  async unfinished(withinMs: number): Promise<boolean> {
    const until = this.#around.clock.wallMs() + withinMs;
    for (const { id, options } of this.#pools.filter((pool) => pool.id > 0)) {
      const counts = await this.#host.storage.pools.counts(id);
      if (willRun(counts, options.maxParallelism, until)) return true;
    }
    return false;
  }

  async drain(graceMs: number): Promise<void> {
    if (this.#state === "started") this.#state = "stopping";
    const { progressed } = this.#host;
    const busy = async (): Promise<boolean> => this.#running > 0 || this.#dirty.size > 0;
    const { clock } = this.#around;
    await waitWhile({ busy, graceMs, clock, progressed, wake: this.#wake });
  }

  async close(): Promise<void> {
    this.#state = "stopped";
    this.#wake.stop();
    for (const { pressure } of this.#pools) pressure.stop();
    await this.#rounds.ended();
  }

  /** Tasks were committed: here there may be hands free for them. */
  #added({ pool, maxWaitMs }: TaskRoute): void {
    const full = pool.running >= pool.options.maxConcurrencyPerWorker;
    if (this.#state !== "started" || full) this.#host.storage.announce?.(maxWaitMs);
    if (this.#state === "started") this.look(maxWaitMs);
  }

  async #round(): Promise<void> {
    if (this.#trouble.doubt) await this.#trouble.settle(async () => this.#reconcile());
    try {
      await this.#host.ready();
    } catch (error) {
      this.#trouble.failed(error);
      return;
    }
    const { gate } = this.#around;
    const open = this.#state === "started" && gate.isOpenFor(this);
    const pools = this.#pools.slice(0, this.#defined);
    const claims = pools.map((pool) => pool.claim(open));
    if (pools.some((pool) => pool.held() !== null)) this.#wake.within(PRESSURE_RETRY_MS);
    const isIdle = this.#dirty.size === 0 && claims.every(({ limit }) => limit === 0);
    if (isIdle && !this.#asks) return;
    const taken = this.#take();
    const alone = open && gate.ask(this);
    let exchanged: PoolExchanged | undefined;
    try {
      const { storage, incarnation } = this.#host;
      const settlements = taken.map(({ settlement }) => settlement);
      exchanged = await storage.pools.exchange({ incarnation, settlements, claims, alone });
    } catch (error) {
      for (const { slice, ended } of taken) {
        slice.giveBack(ended);
        if (slice.held) this.#dirty.add(slice);
      }
      this.#trouble.failed(error);
      gate.answer(this, false);
      return;
    }
    this.#trouble.over();
    this.#asks = false;
    this.#settled(taken, exchanged);
    this.#lookAgain(exchanged);
    this.#dispatch(exchanged);
  }

  #take(): Taken[] {
    const taken: Taken[] = [];
    for (const slice of this.#dirty) {
      const one = slice.take();
      if (one !== null) taken.push({ slice, ...one });
    }
    this.#dirty.clear();
    this.#endedTasks = 0;
    return taken;
  }

  #settled(taken: readonly Taken[], { settled, canceled }: PoolExchanged): void {
    for (const { batch, token, indices } of canceled) {
      const slice = this.#slices.get(batch);
      if (slice?.lease.token !== token) continue;
      slice.cancel(indices);
      // How these ended was on its way when it was decided that it does not count.
      const ended = taken.find((one) => one.slice === slice)?.ended ?? [];
      const gone = new Set(indices);
      for (const { run } of ended) run.canceled ||= gone.has(run.index);
    }
    for (const [n, { slice, ended }] of taken.entries()) {
      slice.settled(ended);
      if (settled[n] === "settled") {
        tellSettled(slice, ended);
        this.#settledTasks(slice.pool, ended, slice);
        if (slice.over) this.#forget(slice);
      } else {
        this.#around.logger.warn("Another process took tasks over.", { ...slice.lease });
        this.#lose(slice, "LEASE_LOST", "Another process has this task.");
      }
    }
    if (taken.length > 0) this.#host.progressed.notify();
  }

  #lookAgain({ claimed, settled, more, nextAt, now }: PoolExchanged): void {
    const { clock, tickIntervalMs } = this.#around;
    const idle = claimed.length === 0 && settled.length === 0;
    const { storage } = this.#host;
    const mostMs = tickIntervalMs * (idle && storage.announce !== undefined ? REMOTE_IDLE : 1);
    let ms = Math.ceil(mostMs * (1 - TICK_JITTER * clock.random()));
    if (nextAt !== null && nextAt > now) ms = Math.min(ms, nextAt - now);
    else if (nextAt !== null && !more) ms = 1;
    this.#wake.within(ms);
    if (more) storage.announce?.(0);
  }

  #dispatch({ claimed, suspectWaiting }: PoolExchanged): void {
    // All of them enter the gate before anybody else may ask.
    const slices = this.#state === "stopped" ? [] : claimed.map((one) => this.#enter(one));
    this.#around.gate.answer(this, suspectWaiting);
    this.#toStart.push(...slices);
    void this.#startAll();
  }

  /** Beside the loop: while some tasks are settled, others begin. */
  async #startAll(): Promise<void> {
    if (this.#starting) return;
    this.#starting = true;
    let started = 0;
    for (let slice = this.#toStart.shift(); slice !== undefined; slice = this.#toStart.shift()) {
      // What arrives in between, and whoever else shares the process, has a turn.
      if (started >= TASKS_PER_TURN) {
        await turn(this.#around.clock);
        started = 0;
      }
      if (!slice.held) continue;
      started += slice.claimed.indices.length;
      tellStarted(slice);
      slice.start();
    }
    this.#starting = false;
  }

  #enter(claimed: ClaimedSlice): TaskSlice {
    const pool = this.#pools.find(({ id }) => id === claimed.queue) as TaskQueue;
    const slice = new TaskSlice(pool, this.#around, claimed, {
      ended: (ended, last) => this.#taskEnded(ended, last),
    });
    // Given back meanwhile by somebody else, perhaps: the new token counts.
    const before = this.#slices.get(claimed.batch);
    if (before !== undefined) this.#lose(before, "LEASE_LOST", "The task was claimed again.");
    this.#slices.set(claimed.batch, slice);
    const tasks = claimed.indices.length;
    pool.running += tasks;
    pool.bytes += slice.bytes;
    this.#running += tasks;
    this.#around.gate.enter(claimed.alone);
    pool.pressure.watch(() => pool.running > 0);
    return slice;
  }

  #taskEnded(slice: TaskSlice, last: boolean): void {
    slice.pool.running--;
    this.#running--;
    this.#dirty.add(slice);
    this.#endedTasks++;
    if (last) this.#around.gate.leave(slice.claimed.alone);
    if (this.#running === 0 || this.#endedTasks === this.#enough(slice)) this.#wake.now();
    else if (this.#endedTasks === 1) this.#wake.within(SETTLE_MS);
  }

  /** Where a look crosses a network, it is on its way while the other half begins. */
  #enough({ pool }: TaskSlice): number {
    if (this.#host.storage.announce === undefined) return Number.POSITIVE_INFINITY;
    return Math.ceil(pool.options.maxConcurrencyPerWorker / 2);
  }

  #lose(slice: TaskSlice, code: "LEASE_LOST" | "STOPPED", message: string): void {
    const running = slice.lose(code, message);
    slice.pool.running -= running;
    this.#running -= running;
    if (running > 0) this.#around.gate.leave(slice.claimed.alone);
    this.#dirty.delete(slice);
    this.#forget(slice);
  }

  #forget(slice: TaskSlice): void {
    const { batch } = slice.lease;
    if (this.#slices.get(batch) !== slice) return;
    this.#slices.delete(batch);
    slice.pool.bytes -= slice.bytes;
  }

  /** Releases what is leased to this process and not run by it, and drops what it does not own. */
  async #reconcile(): Promise<void> {
    const known: Lease[] = [...this.#slices.values()].map(({ lease }) => lease);
    const { storage, incarnation } = this.#host;
    for (const { batch, token } of await storage.pools.reconcile(incarnation, known)) {
      const slice = this.#slices.get(batch);
      if (slice?.lease.token !== token) continue;
      this.#lose(slice, "LEASE_LOST", "Another process has this task.");
    }
  }
}
