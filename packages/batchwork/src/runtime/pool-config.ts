/** What can be changed of a pool while it runs, and is kept. */
import { checkParallelism } from "../core/pool-options.ts";
import type { Runner } from "./runner.ts";
import type { TaskQueue } from "./task-queue.ts";

/** What {@link PoolConfig} says. */
export interface PoolConfiguration {
  /** Most tasks that run at a time, over all processes; 0 pauses. */
  readonly maxParallelism: number;
}

export class PoolConfig {
  readonly #tasks: TaskQueue;
  readonly #runner: Runner;
  readonly #wake: () => void;

  constructor(tasks: TaskQueue, runner: Runner, wake: () => void) {
    this.#tasks = tasks;
    this.#runner = runner;
    this.#wake = wake;
  }

  /** What holds now: what was stored by `update`, or else what the definition says. */
  async get(): Promise<PoolConfiguration> {
    await this.#runner.ready();
    const stored = await this.#runner.storage.pools.parallelism(this.#tasks.id);
    return { maxParallelism: stored ?? this.#tasks.options.maxParallelism };
  }

  /**
   * Stores it: it holds in every process from its next claim on, and after restarts, whatever the
   * definition says. `null` gives the definition its say again. What runs goes on.
   *
   * @throws `OPTION_INVALID`
   */
  async update(config: { readonly maxParallelism: number | null }): Promise<void> {
    const { maxParallelism } = config;
    if (maxParallelism !== null) checkParallelism(this.#tasks.name, maxParallelism);
    await this.#runner.ready();
    await this.#runner.storage.pools.setParallelism(this.#tasks.id, maxParallelism);
    this.#wake();
  }
}
