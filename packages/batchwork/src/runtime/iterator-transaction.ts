/** How what came of a page is written: in the user's transaction, or in one of its own. */
import { hasCode } from "../core/errors.ts";
import type { LoopStep, StepAnswer } from "../storage/loops.ts";
import type { NewChunk } from "../storage/storage.ts";
import type { Change, JobOwner, Reading } from "./iterator-steps.ts";

/** Rolls a dry run back; `result` is what the function of the user's returned. */
class DryRunEndError extends Error {
  override readonly name = "DryRunEndError";
  readonly result: unknown;
  readonly changes: number;

  constructor(result: unknown, changes: number) {
    super("A dry run is rolled back.");
    this.result = result;
    this.changes = changes;
  }
}

type Run<R> = (tx: never) => R | PromiseLike<R>;

/** The ways to write one page. */
export class PageTransactions {
  readonly #chain: JobOwner;
  readonly #reading: Reading;
  readonly #startedAt: number;
  /** Rows that were changed and rolled back. */
  #wouldChange = 0;

  constructor(chain: JobOwner, reading: Reading, startedAt: number) {
    this.#chain = chain;
    this.#reading = reading;
    this.#startedAt = startedAt;
  }

  /** Runs `fn` of `ctx.tx` in a transaction with the page. */
  readonly commit = async <R>(fn: Run<R>, failed: ReadonlyMap<number, unknown>): Promise<R> => {
    if (this.#chain.state.settings.dryRun) return this.#tryOut(fn);
    return this.#transact(fn, failed);
  };

  /** Writes a page that is processed, and hands over what failed of it. */
  async write(failed: ReadonlyMap<number, unknown>): Promise<void> {
    const { dryRun } = this.#chain.state.settings;
    if (failed.size > 0 && !dryRun) await this.#transact(() => undefined, failed);
    else await this.#chain.write(this.#change(failed.size));
  }

  #change(failed: number): Change {
    return this.#chain.passed(this.#reading, failed, this.#startedAt, this.#wouldChange);
  }

  async #transact<R>(fn: Run<R>, failed: ReadonlyMap<number, unknown>): Promise<R> {
    const chain = this.#chain;
    const { storage } = chain.definition;
    let written: { readonly change: Change; readonly step: LoopStep } | undefined;
    const transacted = await storage.loops.transact<R>({
      lease: chain.lease,
      confirm: false,
      run: (tx) => this.#andHandOver(tx, fn(tx), failed),
      step: () => {
        const change = this.#change(failed.size);
        const step = chain.stepOf(change);
        written = { change, step };
        return step;
      },
    });
    const { result, answer } = transacted as { result: R; answer: StepAnswer };
    if (written !== undefined) chain.took(written.change, written.step, answer);
    if (failed.size > 0) chain.definition.wake();
    return result;
  }

  /** Items that failed are appended to their queue, inside the transaction. */
  #andHandOver<R>(
    tx: unknown,
    result: R | PromiseLike<R>,
    failed: ReadonlyMap<number, unknown>,
  ): R | PromiseLike<R> {
    if (isThenable(result)) {
      return result.then(async (value) => {
        const chunks = this.#chunks(failed);
        if (chunks.length > 0) await this.#chain.definition.storage.appendWithin(tx, chunks);
        return value;
      });
    }
    const chunks = this.#chunks(failed);
    if (chunks.length === 0) return result;
    const { storage } = this.#chain.definition;
    try {
      storage.appendInside(tx, chunks);
      return result;
    } catch (error) {
      // Some storages cannot write before they return.
      if (!hasCode(error, "TX_UNSUPPORTED")) throw error;
      return storage.appendWithin(tx, chunks).then(() => result);
    }
  }

  #chunks(failed: ReadonlyMap<number, unknown>): NewChunk[] {
    const { items } = this.#reading.page;
    const { definition, jobId } = this.#chain;
    const bad = [...failed.keys()].map((position) => items[position]);
    return bad.length === 0 ? [] : definition.chunksOf(jobId, bad);
  }

  /** Runs `fn`, counts what it changed, and rolls it back. */
  async #tryOut<R>(fn: Run<R>): Promise<R> {
    const { storage } = this.#chain.definition;
    const { tables } = storage;
    const changes = (tx: unknown): number | Promise<number> => tables?.changes(tx) ?? 0;
    const run = (tx: never): unknown => {
      const before = changes(tx);
      if (typeof before !== "number") return tryAsync(before, fn, tx, changes);
      const result = fn(tx);
      // For the storage to refuse, where it runs synchronous functions only.
      if (isThenable(result)) return result;
      throw new DryRunEndError(result, Number(changes(tx)) - before);
    };
    const { lease } = this.#chain;
    try {
      await storage.loops.transact({ lease, confirm: false, run, step: () => null });
    } catch (error) {
      if (!(error instanceof DryRunEndError)) throw error;
      this.#wouldChange += error.changes;
      return error.result as R;
    }
    throw new Error("A dry run always ends in a roll-back.");
  }
}

async function tryAsync(
  before: Promise<number>,
  fn: Run<unknown>,
  tx: never,
  changes: (tx: unknown) => number | Promise<number>,
): Promise<never> {
  const from = await before;
  const result = await fn(tx);
  throw new DryRunEndError(result, (await changes(tx)) - from);
}

function isThenable<R>(value: R | PromiseLike<R>): value is PromiseLike<R> {
  return typeof value === "object" && value !== null && "then" in value;
}
