/** Adds with idempotency keys, as a batch definition takes them. */
import { hash } from "node:crypto";

import { checkCallBytes, checkCallItems, checkKey, type BulkOptions } from "./add-options.ts";
import { BatchworkError } from "../core/errors.ts";
import type { Entrance } from "./entrance.ts";
import type { AddResult } from "./intake.ts";
import type { KeyedIntakeItem } from "./keyed-call.ts";
import type { Queue } from "./queue.ts";
import type { Runner } from "./runner.ts";

/** Characters kept of a SHA-256 in base64: 132 bits. */
const DIGEST_CHARACTERS = 22;

export class KeyedAdds<T> {
  readonly #queue: Queue;
  readonly #runner: Runner;
  readonly #entrance: Entrance<T>;

  constructor(queue: Queue, runner: Runner, entrance: Entrance<T>) {
    this.#queue = queue;
    this.#runner = runner;
    this.#entrance = entrance;
  }

  /** With `tx` among the options, in that transaction. */
  async addBulk(items: readonly T[], options: BulkOptions<T>): Promise<AddResult[]> {
    const accepted = this.#acceptAll(items, options);
    const { keyed } = this.#runner.intake;
    if (!("tx" in options)) return keyed.add(this.#queue, accepted);
    const results = await keyed.addWithin(this.#queue, accepted, options.tx);
    this.#runner.addedInside(this.#queue, accepted, results);
    return results;
  }

  addBulkSync(items: readonly T[], options: BulkOptions<T>): AddResult[] {
    const accepted = this.#acceptAll(items, options);
    const results = this.#runner.intake.keyed.addInside(this.#queue, accepted, options.tx);
    this.#runner.addedInside(this.#queue, accepted, results);
    return results;
  }

  #acceptAll(
    items: readonly T[],
    { idempotencyKey, keepResult }: BulkOptions<T>,
  ): KeyedIntakeItem[] {
    if (this.#entrance.deduplicates) throw bothKinds(this.#queue.name);
    checkCallItems(items.length);
    let bytes = 0;
    const accepted = items.map((item, index) => {
      const key = idempotencyKey?.(item, index);
      const accepted = this.#accept(item, key);
      const one = keepResult === true ? this.#entrance.submitted(accepted) : accepted;
      bytes += one.bytes;
      return one;
    });
    checkCallBytes(bytes);
    return accepted;
  }

  #accept(item: T, key: string | undefined): KeyedIntakeItem {
    if (key !== undefined) checkKey(key);
    const accepted = this.#entrance.accept(item);
    if (key === undefined) return { ...accepted, key: null, digest: "" };
    const digest = hash("sha256", this.#entrance.textOf(item, accepted), "base64url");
    return { ...accepted, key, digest: digest.slice(0, DIGEST_CHARACTERS) };
  }
}

/** What is left out would hold its idempotency key for ever: it never ends. */
function bothKinds(name: string): BatchworkError {
  const message =
    `"${name}" has deduplicateBy, so its items take no idempotencyKey: ` +
    "leave one of the two out.";
  return new BatchworkError("OPTION_INVALID", message, { field: "idempotencyKey" });
}
