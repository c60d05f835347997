/**
 * Claims loops that are due and runs them: the owner of a loop works until it has given the loop
 * back, and this process owns no more of a definition at a time than it has hands for.
 */
import { BatchworkError } from "../core/errors.ts";
import type { LoopLease } from "../core/loop-transitions.ts";
import type { ClaimedLoops, LoopRow, NewLoop } from "../storage/loops.ts";
import type { Storage } from "../storage/storage.ts";
import type { Companion } from "./companions.ts";
import { trouble } from "./observation.ts";
import type { LandedChunk } from "./open-chunk.ts";
import { Rounds } from "./rounds.ts";
import { waitWhile } from "./shutdown.ts";
import { StorageTrouble } from "./storage-trouble.ts";
import type { Surroundings } from "./surroundings.ts";
import { Signal, Wake } from "./wake.ts";

/** How much earlier than `tickIntervalMs` a look may come, so that processes look apart. */
const TICK_JITTER = 0.2;

/** How much longer an idle process waits where each look crosses a network. */
const REMOTE_IDLE = 2.5;

/** Looks after a ping in a transaction whose commit nobody tells of, ms. */
const COMMITTED_MS = [2, 20, 100] as const;

/** What a run is told. */
export interface LoopSignals {
  /** Aborted when the loop is no longer owned, or the engine's grace is over. */
  readonly signal: AbortSignal;
  /** Aborted when the run is to give the loop back after its current step. */
  readonly stopping: AbortSignal;
}

/** One kind of loops inside an engine. */
export interface LoopDefinition {
  readonly kind: string;
  readonly name: string;
  /** Most loops that run at a time in this process. */
  readonly concurrency: number;
  /** Loops that are to be there, made when the storage is opened. */
  readonly loops?: readonly NewLoop[];
  /** Told of these loops, position by position, also of those that were there already. */
  readonly made?: (loops: readonly LoopRow[]) => void;
  /** Told that there may be news, for runs that wait by themselves. */
  readonly nudge?: () => void;
  /**
   * Owns a loop until it resolves: its last step gives the loop back, or ends it. When it rejects,
   * the loop is given back as it is.
   */
  readonly run: (loop: LoopRow, signals: LoopSignals) => Promise<void>;
}

/** What it takes from the loop of the batches. */
export interface LoopHost {
  readonly storage: Storage;
  readonly incarnation: number;
  /** Resolves once the storage is open. */
  ready(): Promise<void>;
}

interface Run {
  readonly lease: LoopLease;
  readonly definition: LoopDefinition;
  readonly signal: AbortController;
  readonly stopping: AbortController;
}

export class LoopRunner implements Companion {
  readonly #host: LoopHost;
  readonly #around: Surroundings;
  readonly #definitions: LoopDefinition[] = [];
  readonly #runs = new Map<number, Run>();
  readonly #wake: Wake;
  readonly #trouble: StorageTrouble;
  readonly #rounds: Rounds;
  readonly #ended = new Signal();
  #state: "idle" | "started" | "stopping" | "stopped" = "idle";
  #made = 0;
  /** After a run that rejected nothing is claimed before, in monotonic time. */
  #restUntil = Number.NEGATIVE_INFINITY;

  constructor(host: LoopHost, around: Surroundings) {
    this.#host = host;
    this.#around = around;
    this.#rounds = new Rounds(around, {
      active: () => this.#state === "started" && this.#definitions.length > 0,
      round: async () => this.#round(),
      failed: "A look for loops failed.",
    });
    this.#wake = new Wake(around.clock, () => void this.#rounds.tickSafely());
    this.#trouble = new StorageTrouble(around, (ms) => this.#wake.within(ms));
    around.gate.whenFree(this, () => this.#wake.now());
  }

  register(definition: LoopDefinition): void {
    this.#definitions.push(definition);
    this.#wake.now();
  }

  /** Something was written that makes loops due: here, or elsewhere, somebody looks soon. */
  wake(kind?: string, name?: string): void {
    this.#wake.now();
    const all = this.#definitions.filter((definition) => {
      return kind === undefined || (definition.kind === kind && definition.name === name);
    });
    const here = this.#state === "started" && all.every((one) => this.#free(one) > 0);
    if (!here || all.length === 0) this.#host.storage.announce?.(0);
  }

  /** Something was written in a transaction that somebody else commits, or does not. */
  committing(): void {
    this.#wake.now();
    for (const ms of COMMITTED_MS) {
      this.#around.clock.after(ms, () => {
        if (this.#state === "started") this.#wake.now();
      });
    }
    this.#around.clock.after(COMMITTED_MS[2], () => {
      if (this.#state !== "stopped") this.#host.storage.announce?.(0);
    });
  }

  async ready(): Promise<void> {
    const made = this.#definitions.length;
    for (const { loops = [], made } of this.#definitions.slice(this.#made)) {
      const created = loops.length > 0 ? await this.#host.storage.loops.create(loops) : [];
      made?.(created.map(({ loop }) => loop));
    }
    this.#made = Math.max(this.#made, made);
  }

  /** Resolves once every loop that is to be there is there. */
  async defined(): Promise<void> {
    await this.#host.ready();
    if (this.#made < this.#definitions.length) await this.ready();
  }

  start(): void {
    this.#state = "started";
    this.#wake.now();
  }

  look(ms = 0): void {
    if (ms > 0) this.#wake.within(ms);
    else this.#wake.now();
    for (const { nudge } of this.#definitions) nudge?.();
  }

  landed(chunks: readonly LandedChunk[]): readonly LandedChunk[] {
    return chunks;
  }

  tick(): Promise<void> {
    return this.#rounds.tick();
  }

  lose(code: "LEASE_LOST" | "STOPPED", message: string): void {
    for (const { signal } of this.#runs.values()) signal.abort(new BatchworkError(code, message));
  }

  beat(doubt: boolean): void {
    if (!doubt || this.#definitions.length === 0) return;
    this.#trouble.doubt = true;
    this.#wake.now();
  }

  async drain(graceMs: number): Promise<void> {
    if (this.#state === "started") this.#state = "stopping";
    this.#yield();
    const { clock } = this.#around;
    const busy = async (): Promise<boolean> => this.#runs.size > 0;
    await waitWhile({ busy, graceMs, clock, progressed: this.#ended, wake: this.#wake });
  }

  async close(): Promise<void> {
    this.#state = "stopped";
    this.#wake.stop();
    await this.#rounds.ended();
  }

  async #round(): Promise<void> {
    const { gate, clock } = this.#around;
    // A batch that may kill the process is to run alone in it.
    if (gate.shut) this.#yield();
    const restMs = this.#restUntil - clock.monotonicMs();
    if (restMs > 0) {
      this.#wake.within(restMs);
      return;
    }
    try {
      if (this.#made < this.#definitions.length) await this.defined();
      if (this.#trouble.doubt) await this.#reconcile();
      if (!gate.isOpenFor(this)) return;
      const { incarnation, storage } = this.#host;
      const takes = this.#definitions.map((definition) => {
        return { kind: definition.kind, name: definition.name, limit: this.#free(definition) };
      });
      if (takes.every(({ limit }) => limit === 0)) return;
      const claimed = await storage.loops.claim({ incarnation, takes });
      this.#trouble.over();
      for (const loop of claimed.claimed) this.#run(loop);
      this.#lookAgain(claimed);
    } catch (error) {
      this.#trouble.failed(error, "Claiming loops failed; trying again.");
    }
  }

  #lookAgain({ claimed, nextAt, now, more }: ClaimedLoops): void {
    const { clock, tickIntervalMs } = this.#around;
    const remote = this.#host.storage.announce !== undefined && claimed.length === 0;
    const mostMs = tickIntervalMs * (remote ? REMOTE_IDLE : 1);
    const tickMs = Math.ceil(mostMs * (1 - TICK_JITTER * clock.random()));
    const nextMs = nextAt === null ? Number.POSITIVE_INFINITY : Math.max(1, nextAt - now);
    this.#wake.within(Math.min(tickMs, nextMs));
    // There is more than this process has hands for.
    if (more) this.#host.storage.announce?.(0);
  }

  #free(definition: LoopDefinition): number {
    let running = 0;
    for (const run of this.#runs.values()) if (run.definition === definition) running++;
    return Math.max(0, definition.concurrency - running);
  }

  #run(loop: LoopRow): void {
    const definition = this.#definitions.find(({ kind, name }) => {
      return kind === loop.kind && name === loop.name;
    }) as LoopDefinition;
    const lease = { loop: loop.id, token: loop.token };
    const message = "The loop was claimed again.";
    this.#runs.get(loop.id)?.signal.abort(new BatchworkError("LEASE_LOST", message));
    const [signal, stopping] = [new AbortController(), new AbortController()];
    const run: Run = { lease, definition, signal, stopping };
    this.#runs.set(loop.id, run);
    this.#around.gate.enter(false);
    // Claimed while the engine stopped: the first thing it is told is to give the loop back.
    if (this.#state !== "started") stopping.abort();
    void this.#follow(run, loop);
  }

  async #follow(run: Run, loop: LoopRow): Promise<void> {
    const { definition, lease, signal, stopping } = run;
    try {
      await definition.run(loop, { signal: signal.signal, stopping: stopping.signal });
    } catch (error) {
      if (!signal.signal.aborted) {
        const { kind, name, part } = loop;
        const message = "A loop stopped unexpectedly; it is given back.";
        trouble(this.#around, "error", message, { error, kind, name, part });
        this.#restUntil = this.#around.clock.monotonicMs() + this.#trouble.delayMs();
      }
      await this.#giveBack(lease);
    }
    if (this.#runs.get(lease.loop) === run) this.#runs.delete(lease.loop);
    this.#around.gate.leave(false);
    this.#ended.notify();
    this.#wake.now();
  }

  async #giveBack(lease: LoopLease): Promise<void> {
    try {
      await this.#host.storage.loops.release([lease]);
    } catch {
      this.#trouble.doubt = true;
    }
  }

  #yield(): void {
    for (const { stopping } of this.#runs.values()) stopping.abort();
  }

  /** Releases what is ours and not run here, and stops what is not ours. */
  async #reconcile(): Promise<void> {
    const { storage, incarnation } = this.#host;
    const known = [...this.#runs.values()].map(({ lease }) => lease);
    for (const { loop, token } of await storage.loops.releaseStrangers(incarnation, known)) {
      const run = this.#runs.get(loop);
      if (run?.lease.token !== token) continue;
      run.signal.abort(new BatchworkError("LEASE_LOST", "Another process has this loop."));
    }
    this.#trouble.doubt = false;
  }
}
