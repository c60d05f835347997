/** What one process asks of the shared storage that the ledger does not look at. */
import type { SharedDefinition } from "../../packages/batchwork/src/core/definition.ts";
import type { Amount } from "../../packages/batchwork/src/core/pending.ts";
import type { Throttle } from "../../packages/batchwork/src/core/throttle.ts";
import type { Agreement, Proposal } from "../../packages/batchwork/src/storage/definitions.ts";
import type { FinishedRow, HistoryQuery } from "../../packages/batchwork/src/storage/history.ts";
import type { LoopStorage } from "../../packages/batchwork/src/storage/loops.ts";
import type { PoolStorage } from "../../packages/batchwork/src/storage/pools.ts";
import type { FoundResult } from "../../packages/batchwork/src/storage/results.ts";
import type {
  DeadQuery,
  DeadRow,
  Outstanding,
  QueueCounts,
  RunningBatch,
  Storage,
  StorageEnv,
} from "../../packages/batchwork/src/storage/storage.ts";
import type { Ledger } from "./ledger.ts";
import type { Life } from "./life.ts";

/** What a call of a dead process comes to. */
const NOTHING = Symbol("nothing");

export class PassingStorage {
  readonly payload: "text" | "reference";
  readonly durable: boolean;
  readonly loops: LoopStorage;
  readonly pools: PoolStorage;
  protected readonly inner: Storage;
  protected readonly ledger: Ledger;
  protected readonly life: Life;

  constructor(inner: Storage, ledger: Ledger, life: Life) {
    this.payload = inner.payload;
    this.durable = inner.durable;
    this.loops = inner.loops;
    this.pools = inner.pools;
    this.inner = inner;
    this.ledger = ledger;
    this.life = life;
  }

  open(env: StorageEnv): Promise<void> {
    return this.serially(async () => this.inner.open(env));
  }

  close(): Promise<void> {
    return this.serially(async () => this.inner.close());
  }

  changed(): boolean {
    return this.inner.changed();
  }

  outstanding(query: Outstanding): Promise<number> {
    return this.serially(async () => this.inner.outstanding(query));
  }

  counts(queue: number, group: string | null): Promise<QueueCounts> {
    return this.serially(async () => this.inner.counts(queue, group));
  }

  throttledUntil(queue: number, throttle: Throttle): Promise<number | null> {
    return this.serially(async () => this.inner.throttledUntil(queue, throttle));
  }

  pending(queue: number): Promise<Amount> {
    return this.serially(async () => this.inner.pending(queue));
  }

  running(queue: number): Promise<RunningBatch[]> {
    return this.serially(async () => this.inner.running(queue));
  }

  history(query: HistoryQuery): Promise<FinishedRow[]> {
    return this.serially(async () => this.inner.history(query));
  }

  findResults(queue: number, ids: readonly string[]): Promise<FoundResult[]> {
    return this.serially(async () => this.inner.findResults(queue, ids));
  }

  replay(queue: number, batch: number): Promise<number | null> {
    return this.serially(async () => this.inner.replay(queue, batch));
  }

  propose(proposals: readonly Proposal[]): Promise<Agreement[]> {
    return this.serially(async () => this.inner.propose(proposals));
  }

  agreed(queues: readonly number[]): Promise<(SharedDefinition | null)[]> {
    return this.serially(async () => this.inner.agreed(queues));
  }

  deadLetters(query: DeadQuery): Promise<DeadRow[]> {
    return this.serially(async () => this.inner.deadLetters(query));
  }

  takeUnnotified(queues: readonly number[], limit: number, retryMs: number): Promise<DeadRow[]> {
    return this.serially(async () => this.inner.takeUnnotified(queues, limit, retryMs));
  }

  acknowledgeDead(ids: readonly number[]): Promise<void> {
    return this.serially(async () => this.inner.acknowledgeDead(ids));
  }

  /** What a dead process asks for never happens, and what it waits for never comes. */
  protected async serially<R>(run: () => Promise<R>): Promise<R> {
    const { clock } = this.life;
    try {
      const result = await this.ledger.serially(async () => (clock.dead ? NOTHING : run()));
      if (!clock.dead && result !== NOTHING) return result;
    } catch (error) {
      if (!clock.dead) throw error;
    }
    return new Promise(() => {
      // Never.
    });
  }
}
