/** What a loop does about a storage that fails: it waits, asks again, and doubts its leases. */
import { hasCode } from "../core/errors.ts";
import { retryDelayMs } from "../core/retry.ts";
import { trouble } from "./observation.ts";
import type { Surroundings } from "./surroundings.ts";

/** 50 ms, doubled up to 4.5 s, with jitter, so that work goes on within 5 s of its return. */
const TROUBLE = {
  max: Number.POSITIVE_INFINITY,
  strategy: "exponential",
  baseDelay: 50,
  maxDelay: 4500,
  jitter: 0.5,
} as const;

const MESSAGE = "The storage failed; trying again.";

/** What one loop knows of the failures of its storage. */
export class StorageTrouble {
  /** Leases may be stored that nobody here knows of. */
  doubt = false;
  readonly #around: Surroundings;
  readonly #lookWithin: (ms: number) => void;
  /** In a row. */
  #failures = 0;

  constructor(around: Surroundings, lookWithin: (ms: number) => void) {
    this.#around = around;
    this.#lookWithin = lookWithin;
  }

  /** The storage does what it is asked. */
  over(): void {
    this.#failures = 0;
  }

  /** One more failure; returns how long to wait after it, ms. */
  delayMs(): number {
    this.#failures++;
    return retryDelayMs(TROUBLE, this.#failures, this.#around.clock.random());
  }

  /** The reply is lost or never was one: find out which leases are ours, and try again later. */
  failed(error: unknown, message = MESSAGE): void {
    const delayMs = this.delayMs();
    if (!hasCode(error, "STORAGE_BUSY")) this.doubt = true;
    trouble(this.#around, "warn", message, { error, delayMs });
    this.#lookWithin(delayMs);
  }

  /** The doubt is over once `compare` has found out which leases are ours. */
  async settle(compare: () => Promise<void>): Promise<void> {
    try {
      await compare();
      this.doubt = false;
    } catch (error) {
      this.failed(error);
    }
  }
}
