/** Writes the steps of one owner of a worker's loop, each under its token. */
import type { LoopMove } from "../core/loop-step.ts";
import type { WorkerState } from "../core/worker-state.ts";
import type { LoopRow, LoopStep, LoopTransacted, StepAnswer } from "../storage/loops.ts";
import type { LoopSignals } from "./loop-runner.ts";
import { stateOf, type WorkerDefinition } from "./worker-definition.ts";
import type { MaybeProcessed, WorkerContext } from "./worker-options.ts";

/** The loop goes on at once, with the same owner. */
export const KEEP: LoopMove = { to: "active", runInMs: 0, keep: true };

/** What else a step says. */
export type StepDetails = Partial<Pick<LoopStep, "attempt" | "error" | "bury" | "revive">>;

export class WorkerWriter {
  readonly definition: WorkerDefinition;
  readonly row: LoopRow;
  readonly signals: LoopSignals;
  /** False once the loop was given back, or is somebody else's. */
  owned = true;
  /** As it will be written with the next step. */
  state: WorkerState;
  /** Looks in a row that failed. */
  attempt: number;
  readonly #context: WorkerContext;
  /** Storage time less monotonic time. */
  readonly #offset: number;
  #step: number;
  #written: WorkerState | undefined;

  constructor(definition: WorkerDefinition, row: LoopRow, signals: LoopSignals) {
    this.definition = definition;
    this.row = row;
    this.signals = signals;
    this.state = { ...stateOf(row), definition: definition.text };
    this.attempt = row.attempt;
    this.#step = row.step;
    this.#offset = row.updatedAt - definition.around.clock.monotonicMs();
    const { signal } = signals;
    this.#context = { name: row.name, partition: this.partition, signal };
  }

  get partition(): string | undefined {
    return this.row.part === "" ? undefined : this.row.part;
  }

  /** Storage time, ms. */
  get now(): number {
    return this.#offset + this.definition.around.clock.monotonicMs();
  }

  /** True while there is a reason to go on. */
  get going(): boolean {
    const { signal, stopping } = this.signals;
    return this.owned && !signal.aborted && !stopping.aborted;
  }

  /** Calls the user's `process`. */
  process(tx: unknown, batch: unknown): MaybeProcessed | PromiseLike<MaybeProcessed> {
    return this.definition.given.process(tx as never, batch, this.#context);
  }

  /** The next step. */
  next(state: WorkerState, move: LoopMove, details: StepDetails = {}): LoopStep {
    this.#written = state;
    const { id: loop, token, cursor } = this.row;
    return {
      loop,
      token,
      step: this.#step + 1,
      cursor,
      state: JSON.stringify(state),
      attempt: 0,
      error: null,
      move,
      ...details,
    };
  }

  /** Writes a step by itself. */
  async advance(state: WorkerState, move: LoopMove, details?: StepDetails): Promise<void> {
    const { loops } = this.definition.storage;
    const [answer] = await loops.advance([this.next(state, move, details)]);
    this.wrote(answer ?? null);
  }

  /** Runs the user's functions in a transaction with a step. */
  async transact<R>(
    confirm: boolean,
    run: (tx: unknown) => R | PromiseLike<R>,
    step: () => LoopStep | null,
  ): Promise<LoopTransacted<R> | null> {
    const { id: loop, token } = this.row;
    const { loops } = this.definition.storage;
    return loops.transact<R>({ lease: { loop, token }, confirm, fresh: true, run, step });
  }

  /** Takes note of what became of the last step. */
  wrote(answer: StepAnswer | null): void {
    if (answer === null) return;
    this.owned = answer.owned && answer.result === "written";
    if (answer.result === "lost" || this.#written === undefined) return;
    this.#step++;
    this.state = this.#written;
  }

  /** Gives the loop back as it is. */
  async release(): Promise<void> {
    const { id: loop, token } = this.row;
    this.owned = false;
    await this.definition.storage.loops.release([{ loop, token }]);
  }
}

/** What `process` returned. */
export function debounceOf(processed: MaybeProcessed): number {
  return processed?.debounceMs ?? 0;
}
