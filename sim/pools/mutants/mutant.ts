/** A bug on purpose, beneath or above everything that looks on. It must be found. */
import type { PoolStorage } from "../../../packages/batchwork/src/storage/pools.ts";
import type { Storage } from "../../../packages/batchwork/src/storage/storage.ts";
import { overlay } from "../../serial.ts";
import type { PoolsPlan } from "../plan.ts";
import type { PoolInvariant } from "../violation.ts";

/** A mutant in one run: what the processes share is made once a run. */
export interface PoolMutantRun {
  /** Spoils what the storage of each process does. */
  readonly storage?: (inner: Storage) => Storage;
  /** Spoils what the engine of each process hears from its storage, and says to it. */
  readonly engine?: (inner: Storage) => Storage;
}

export interface PoolMutant {
  readonly name: string;
  /** The promises that it breaks: another one does not count. */
  readonly foundBy: readonly PoolInvariant[];
  /** Runs in which it can show; others are left out to save time. Default: all. */
  readonly only?: (plan: PoolsPlan) => boolean;
  readonly begin: () => PoolMutantRun;
}

/** `inner`, with other pools, and perhaps with more that is different. */
export function spoil(
  inner: Storage,
  change: (pools: PoolStorage) => Partial<PoolStorage>,
  others: Partial<Storage> = {},
): Storage {
  return overlay(inner, { ...others, pools: overlay(inner.pools, change(inner.pools)) });
}
