/** The results of one delivery: which items have somebody waiting, and what they are told. */
import { BatchworkError } from "../core/errors.ts";
import { ITEM_BYTES_MAX } from "../core/limits.ts";
import { itemIds, type Member } from "../core/members.ts";
import type { ItemResult } from "../core/results.ts";
import type { Outcome } from "../core/settle.ts";
import type { ItemResults } from "./item-results.ts";

/** What it needs to know of its queue. */
export interface ResultQueue {
  readonly name: string;
  /** The text of a result. Throws `ITEM_INVALID`. */
  encode(value: unknown): string;
}

export class RunResults {
  readonly #queue: ResultQueue;
  /** Of items that were submitted, by position: for how long the result is kept. */
  #ttls = new Map<number, number>();
  /** Results as they are stored, by position; of items that were submitted only. */
  readonly #texts = new Map<number, string>();

  constructor(queue: ResultQueue) {
    this.#queue = queue;
  }

  /** Which items were submitted: for how long the result is kept, by position. */
  get ttls(): ReadonlyMap<number, number> {
    return this.#ttls;
  }

  /** The item at this position was submitted. */
  readonly expect = (position: number, ttlMs: number): void => {
    this.#ttls.set(position, ttlMs);
  };

  /** What `beforeFlush` made of the items. */
  replace(ttls: ReadonlyMap<number, number>): void {
    this.#ttls = new Map(ttls);
  }

  /**
   * `ctx.results`. An item whose result cannot be stored fails. Throws `RESULT_INVALID` where there
   * is not one result for each item.
   */
  give<X>(values: readonly X[], count: number, failed: Map<number, unknown>): ItemResults<X> {
    if (!Array.isArray(values) || values.length !== count) {
      const found = Array.isArray(values) ? `${values.length} results` : typeof values;
      const message =
        `ctx.results of "${this.#queue.name}" takes an array of one result for each of the ` +
        `${count} items, by position, not ${found}.`;
      throw new BatchworkError("RESULT_INVALID", message, { field: "results" });
    }
    for (const position of this.#ttls.keys()) {
      try {
        this.#texts.set(position, this.#encode(values[position], position));
      } catch (error) {
        failed.set(position, error);
      }
    }
    return { values };
  }

  /** The outcome, with the results of the items that end by it, other than by death. */
  keptWith(outcome: Outcome, members: readonly Member[]): Outcome {
    if (this.#ttls.size === 0 || outcome.kind === "again") return outcome;
    const others = outcome.kind === "split" ? positionsOf(outcome) : new Set<number>();
    const ids = itemIds(members);
    const results: ItemResult[] = [];
    for (const [position, ttlMs] of this.#ttls) {
      if (others.has(position)) continue;
      const value = this.#texts.get(position) ?? null;
      results.push({ id: ids[position] as string, kind: "success", value, error: null, ttlMs });
    }
    return { ...outcome, results };
  }

  /** `beforeFlush` left every item out. */
  allLeftOut(members: readonly Member[]): Outcome {
    if (this.#ttls.size === 0) return { kind: "done" };
    const results = leftOut(this.#queue.name, itemIds(members), this.#ttls, new Set());
    return { kind: "done", results };
  }

  #encode(value: unknown, position: number): string {
    let text: string;
    try {
      text = this.#queue.encode(value);
    } catch (cause) {
      throw this.#invalid(position, (cause as Error).message, cause);
    }
    const bytes = Buffer.byteLength(text);
    if (bytes <= ITEM_BYTES_MAX) return text;
    throw this.#invalid(position, `${bytes} bytes; at most ${ITEM_BYTES_MAX} are allowed.`);
  }

  #invalid(position: number, why: string, cause?: unknown): BatchworkError {
    const message = `The result of item ${position} of "${this.#queue.name}" is not kept: ${why}`;
    const details = { field: `results[${position}]`, cause };
    return new BatchworkError("RESULT_INVALID", message, details);
  }
}

/** Items that go on or are dead. */
function positionsOf({ children, dead }: Extract<Outcome, { kind: "split" }>): Set<number> {
  const positions = new Set<number>();
  for (const child of children) for (const position of child.positions) positions.add(position);
  for (const { position } of dead) positions.add(position);
  return positions;
}

/** The results of items that `beforeFlush` left out. */
export function leftOut(
  name: string,
  ids: readonly string[],
  ttls: ReadonlyMap<number, number>,
  kept: ReadonlySet<string>,
): ItemResult[] {
  const results: ItemResult[] = [];
  for (const [position, ttlMs] of ttls) {
    const id = ids[position] as string;
    if (kept.has(id)) continue;
    const message = `hooks.beforeFlush of "${name}" left the item out, so no handler was given it.`;
    const { code, name: kind } = new BatchworkError("ITEM_LEFT_OUT", message);
    // Without a stack: it would show this file, where nothing is wrong.
    const error = { name: kind, message, code };
    results.push({ id, kind: "canceled", value: null, error, ttlMs });
  }
  return results;
}
