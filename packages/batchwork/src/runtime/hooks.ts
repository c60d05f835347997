/** The hooks of a definition: what the user wants called when an attempt has ended. */
import type { Logger } from "./logger.ts";
import { Signal } from "./wake.ts";

/** What a hook is told of: the items that an attempt did, or failed, together. */
export interface HookJob<T> {
  readonly batchId: string;
  readonly name: string;
  readonly groupKey: string | undefined;
  /** Attempts so far, this one included. */
  readonly attempts: number;
  readonly items: readonly T[];
  readonly tags: readonly string[];
}

/**
 * `beforeFlush` has a say in what a batch holds. The others are called beside the loop, which does
 * not wait for them; `stop()` does, within its grace. What those throw is logged and changes
 * nothing. Each of their calls is made at most once: a crash just then loses it. For items that
 * died, `deadLetter.onDead` is called at least once.
 */
export interface BatchHooks<T, R = unknown> {
  /**
   * Called with the items of a batch before its first handler; what it returns is what the batch
   * holds from then on. It may leave items out, which are done then (of an empty batch, no handler
   * is called), change them, add some, and put them in another order: at most `maxSize` items and
   * `maxBytes` bytes, or as much as there was. The result is stored before the handler starts, so
   * every delivery of the batch and of its parts is of the same items, and the function is not
   * called again; a crash before that has it called again. Dead letters that are put back are items
   * like others, and go through it once more.
   *
   * Items that are returned themselves (the same object, or an equal primitive) keep their id; any
   * others get a new one. A throw, a result that is no array (`HOOK_INVALID`) or that cannot be
   * stored (`ITEM_INVALID`, `ITEM_TOO_LARGE`) fails an attempt of this batch alone, as a whole;
   * so does a call that takes longer than `timeout`.
   */
  readonly beforeFlush?: (
    items: T[],
    groupKey: string | undefined,
  ) => readonly T[] | Promise<readonly T[]>;
  /**
   * Called when the handler returned and it is certain that the outcome is stored, with the items
   * that succeeded: all that `ctx.fail` did not name. Not called when there are none.
   */
  readonly onSuccess?: (job: HookJob<T>, result: R) => unknown;
  /**
   * Called when an attempt failed, before it is decided whether its items are tried again (where
   * `ctx.tx` committed, right after that). With the items that failed: all of them after a throw or
   * a timeout, else those that `ctx.fail` named; then `error` is that of the first.
   */
  readonly onFail?: (job: HookJob<T>, error: Error) => unknown;
}

/** Calls hooks and keeps count of those under way. */
export class HookCalls {
  /** Notified whenever one has ended. */
  readonly ended = new Signal();
  readonly #logger: Logger;
  #running = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get busy(): boolean {
    return this.#running > 0;
  }

  /** Calls a hook at once, and waits for nothing. */
  call(hook: string, job: HookJob<unknown>, fn: () => unknown): void {
    this.#running++;
    void this.#settled(hook, job, fn).finally(() => {
      this.#running--;
      this.ended.notify();
    });
  }

  async #settled(
    hook: string,
    { name, batchId }: HookJob<unknown>,
    fn: () => unknown,
  ): Promise<void> {
    try {
      await fn();
    } catch (error) {
      const message = `hooks.${hook} failed; nothing else changes.`;
      this.#logger.error(message, { name, batch: batchId, error });
    }
  }
}
