/** How many items the claims of one process ask for, from what its handlers took so far. */
import { adaptedSize, askedSize, type SizeTarget } from "../core/adaptive-size.ts";
import { hasCode } from "../core/errors.ts";
import type { BatchCaps } from "../core/flush.ts";

/** The options it goes by. */
export interface SizeControlOptions extends BatchCaps {
  readonly target: { readonly durationMs: number; readonly minSize: number } | undefined;
}

/** The caps of the next batch. */
export class SizeControl implements BatchCaps {
  readonly maxBytes: number;
  /** Most items in the next batch. */
  maxSize: number;
  readonly #target: SizeTarget | undefined;
  /** What `maxSize` is the nearest step to. */
  #size: number;

  constructor({ target, maxSize, maxBytes }: SizeControlOptions) {
    this.maxBytes = maxBytes;
    this.#target = target === undefined ? undefined : { ...target, maxSize };
    this.#size = target?.minSize ?? maxSize;
    this.maxSize = this.#target === undefined ? maxSize : askedSize(this.#size, this.#target);
  }

  /** A handler ended. */
  measured(
    count: number,
    durationMs: number,
    thrown: { readonly error: unknown } | undefined,
  ): void {
    const target = this.#target;
    if (target === undefined) return;
    const succeeded = thrown === undefined;
    const timedOut = !succeeded && hasCode(thrown.error, "HANDLER_TIMEOUT");
    const delivery = { count, durationMs, succeeded, timedOut };
    this.#size = adaptedSize(this.#size, target, delivery);
    this.maxSize = askedSize(this.#size, target);
  }
}
