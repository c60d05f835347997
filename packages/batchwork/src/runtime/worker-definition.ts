/** One worker inside an engine: its options, and what its owners work with. */
import type { Codec } from "../core/codec.ts";
import type { ResolvedWorkerOptions } from "../core/worker-options.ts";
import { newWorkerState, type WorkerState } from "../core/worker-state.ts";
import type { LoopRow, NewLoop } from "../storage/loops.ts";
import type { Storage } from "../storage/storage.ts";
import type { Surroundings } from "./surroundings.ts";
import { Signal } from "./wake.ts";
import type { AnyWorkerOptions } from "./worker-options.ts";

/** The kind of a worker's loops. */
export const WORKER_KIND = "worker";

export class WorkerDefinition {
  readonly options: ResolvedWorkerOptions;
  readonly given: AnyWorkerOptions;
  readonly storage: Storage;
  readonly around: Surroundings;
  readonly codec: Codec;
  /** Notified when there may be work, for owners that wait by themselves. */
  readonly news = new Signal();
  /** What decides what a loop does, as text. */
  readonly text: string;
  readonly #ids = new Map<string, number>();
  #warned = false;

  constructor(
    options: ResolvedWorkerOptions,
    given: AnyWorkerOptions,
    storage: Storage,
    around: Surroundings,
    codec: Codec,
  ) {
    this.options = options;
    this.given = given;
    this.storage = storage;
    this.around = around;
    this.codec = codec;
    const { debounceMs, retries } = options;
    this.text = JSON.stringify({ debounceMs, retries });
  }

  get name(): string {
    return this.options.name;
  }

  /** The loops that are to be there: they look once, for what was there before them. */
  loops(): NewLoop[] {
    const { name } = this;
    const state = JSON.stringify(newWorkerState(this.text));
    return this.options.partitions.map((part) => {
      return { kind: WORKER_KIND, name, part, state, cursor: null, runInMs: 0 };
    });
  }

  /** Those loops are there. */
  made(loops: readonly LoopRow[]): void {
    for (const loop of loops) {
      this.#ids.set(loop.part, loop.id);
      this.compare(stateOf(loop));
    }
  }

  /** The id of a partition's loop, once it is there. */
  idOf(partition: string): number | undefined {
    return this.#ids.get(partition);
  }

  /** Says once when another process defines the worker differently. Nobody rewrites anybody. */
  compare({ definition }: WorkerState): void {
    if (definition === this.text || this.#warned) return;
    this.#warned = true;
    const message = "This worker was defined with other options elsewhere: each keeps to its own.";
    const fields = { worker: this.name, here: this.text, elsewhere: definition };
    this.around.logger.warn(message, fields);
  }

  /** The text by which an item is known again. */
  textOf(item: unknown): string {
    return this.codec.encode(item);
  }

  itemOf(text: string): unknown {
    return this.codec.decode([text])[0];
  }

  /** Has owners that wait by themselves look. */
  nudge(): void {
    this.news.notify();
  }
}

/** What a loop keeps. */
export function stateOf({ state }: LoopRow): WorkerState {
  return JSON.parse(state) as WorkerState;
}
