/** What every pool can be asked and told, beside its work. */
import type { ComponentApi } from "../pool/_generated/component.js";
import type { RunMutationCtx, RunQueryCtx } from "./contexts.js";
import type { WorkId } from "./work-id.js";

/** Work that failed for good; `at`: when, ms since the epoch. */
export type DeadLetter = Omit<ComponentApi["dead"]["list"]["_returnType"][number], "id"> & {
  readonly id: WorkId;
};

export type PoolSummary = ComponentApi["inspect"]["summary"]["_returnType"];

export type WorkExplanation = ComponentApi["inspect"]["explain"]["_returnType"];

export class InspectablePool {
  readonly component: ComponentApi;
  /** Which pool of the instance it is. */
  readonly #pool: string;

  constructor(component: ComponentApi, pool = "") {
    this.component = component;
    this.#pool = pool;
  }

  /** Work that failed for good, oldest first; at most `limit`, 100 by default. */
  deadLetters(
    ctx: RunQueryCtx,
    options: { after?: number; limit?: number } = {},
  ): Promise<DeadLetter[]> {
    return ctx.runQuery(this.component.dead.list, options) as Promise<DeadLetter[]>;
  }

  /** Runs dead letters again, under their ids: those given, or the oldest 64. Returns how many. */
  redrive(ctx: RunMutationCtx, ids?: readonly string[]): Promise<number> {
    return ctx.runMutation(this.component.dead.redrive, ids === undefined ? {} : { ids: [...ids] });
  }

  /** Deletes dead letters: those given, or the oldest 64. Returns how many. */
  discard(ctx: RunMutationCtx, ids?: readonly string[]): Promise<number> {
    return ctx.runMutation(this.component.dead.discard, ids === undefined ? {} : { ids: [...ids] });
  }

  /** What waits, runs and was given up, in numbers. */
  summary(ctx: RunQueryCtx): Promise<PoolSummary> {
    return ctx.runQuery(this.component.inspect.summary, {});
  }

  /** Where work is, and what it waits for. Throws `NOT_FOUND` for an id that is not this pool's. */
  explain(ctx: RunQueryCtx, id: WorkId): Promise<WorkExplanation> {
    return ctx.runQuery(this.component.inspect.explain, { id });
  }

  /** Starts no more work of this pool. What runs goes on, and is settled. */
  async pause(ctx: RunMutationCtx): Promise<void> {
    await ctx.runMutation(this.component.config.pause, { pool: this.#pool });
  }

  /** Goes on after `pause`. */
  async resume(ctx: RunMutationCtx): Promise<void> {
    await ctx.runMutation(this.component.config.resume, { pool: this.#pool });
  }
}
