/** A worker: one loop over a table of yours, woken by `ping()`. */
import { BatchworkError } from "../core/errors.ts";
import type { LoopControl } from "../core/loop-transitions.ts";
import type { LoopPing, LoopRow, PingAnswer } from "../storage/loops.ts";
import type { Storage } from "../storage/storage.ts";
import type { LoopRunner } from "./loop-runner.ts";
import { WorkerDeadLetters } from "./worker-dead-letters.ts";
import { WORKER_KIND, type WorkerDefinition } from "./worker-definition.ts";
import type { UnitOf } from "./worker-options.ts";
import { Pings } from "./worker-pings.ts";
import { statsOf, statusOf, type WorkerStats, type WorkerStatus } from "./worker-status.ts";

/** Options of {@link Worker.ping}. */
export interface PingOptions {
  /** Only this partition. Default: all of them. */
  readonly partition?: string;
  /**
   * The transaction that your work is written in: what `add(item, { tx })` takes. The ping counts
   * when that commits, and only then.
   */
  readonly tx?: unknown;
}

/** Options of {@link Worker.pingSync}. */
export interface PingSyncOptions {
  /** Only this partition. Default: all of them. */
  readonly partition?: string;
  /** The open SQLite transaction that your work is written in. */
  readonly tx: unknown;
}

/** A defined worker. Make one with `bw.worker(…)`. */
export class Worker<B> {
  readonly deadLetters: WorkerDeadLetters<UnitOf<B>>;
  readonly #definition: WorkerDefinition;
  readonly #runner: LoopRunner;
  readonly #pings: Pings;

  constructor(definition: WorkerDefinition, runner: LoopRunner) {
    this.#definition = definition;
    this.#runner = runner;
    this.#pings = new Pings(async (pings) => this.#loops.ping(pings));
    this.deadLetters = new WorkerDeadLetters(
      definition,
      async () => runner.defined(),
      () => this.#wake(),
    );
  }

  get name(): string {
    return this.#definition.name;
  }

  /**
   * Says that there is work. Call it after the work was committed, or with its transaction as `tx`.
   * Costs a read while the worker is awake; a worker that is stopped ignores it.
   *
   * @throws `OPTION_INVALID` for a partition that was not defined; `TX_MISMATCH`, `TX_OVER`,
   * `STORAGE_BUSY`, `STORAGE_FAILED`
   */
  async ping({ partition, tx }: PingOptions = {}): Promise<void> {
    this.#check(partition);
    await this.#runner.defined();
    const pings = this.#pingsOf(partition);
    if (tx === undefined) {
      this.#told(await this.#pings.ping(pings));
      return;
    }
    await this.#loops.pingWithin(tx, pings);
    this.#runner.committing();
  }

  /**
   * The same inside your open SQLite transaction, synchronously: it counts when that commits.
   *
   * @throws as {@link Worker.ping}; `TX_UNSUPPORTED` on PostgreSQL
   */
  pingSync({ partition, tx }: PingSyncOptions): void {
    this.#check(partition);
    this.#loops.pingInside(tx, this.#pingsOf(partition));
    this.#runner.committing();
  }

  /** Lets a stopped worker look for work again, in all processes. */
  async start(partition?: string): Promise<void> {
    await this.#control("resume", partition);
  }

  /**
   * No loop of the worker looks for work any more, in any process, until `start()`; pings are
   * ignored. A batch that is being processed is still committed. Survives restarts.
   */
  async stop(partition?: string): Promise<void> {
    await this.#control("pause", partition);
  }

  /** Has the worker look at once, whatever it waits for. Not a stopped one. */
  async kick(partition?: string): Promise<void> {
    await this.#control("kick", partition);
  }

  /** Where the worker is; of a worker with partitions, the one of that name, or the first. */
  async status(partition?: string): Promise<WorkerStatus> {
    const [first] = await this.statuses(partition);
    return first as WorkerStatus;
  }

  /** The same for each partition, in the order of their definition. */
  async statuses(partition?: string): Promise<WorkerStatus[]> {
    return (await this.#rows(partition)).map(statusOf);
  }

  /** What the worker, or one partition of it, has done so far. */
  async stats(partition?: string): Promise<WorkerStats> {
    return statsOf(await this.#rows(partition));
  }

  get #loops(): Storage["loops"] {
    return this.#definition.storage.loops;
  }

  async #control(event: LoopControl, partition: string | undefined): Promise<void> {
    this.#check(partition);
    await this.#runner.defined();
    const loops = this.#pingsOf(partition).map(({ loop }) => loop);
    await this.#loops.control(loops, event);
    this.#wake();
  }

  async #rows(partition: string | undefined): Promise<LoopRow[]> {
    this.#check(partition);
    await this.#runner.defined();
    const { name } = this.#definition;
    const keys = this.#parts(partition).map((part) => ({ kind: WORKER_KIND, name, part }));
    return (await this.#loops.get(keys)).filter((row) => row !== null);
  }

  #told(answers: readonly PingAnswer[]): void {
    if (answers.includes("woken")) this.#wake();
    else this.#definition.nudge();
  }

  #wake(): void {
    this.#definition.nudge();
    this.#runner.wake(WORKER_KIND, this.#definition.name);
  }

  #pingsOf(partition: string | undefined): LoopPing[] {
    const { debounceMs: runInMs } = this.#definition.options;
    return this.#parts(partition).map((part) => {
      const loop = this.#definition.idOf(part);
      if (loop !== undefined) return { loop, runInMs };
      const message = "The storage is not open: await start(), or a ping(), first.";
      throw new BatchworkError("STORAGE_FAILED", message);
    });
  }

  #parts(partition: string | undefined): readonly string[] {
    return partition === undefined ? this.#definition.options.partitions : [partition];
  }

  #check(partition: string | undefined): void {
    if (partition === undefined || this.#definition.options.partitions.includes(partition)) return;
    const message =
      `Worker "${this.name}" has no partition "${partition}": ` +
      "name it in its option partitions.";
    throw new BatchworkError("OPTION_INVALID", message, { field: "partition", value: partition });
  }
}
