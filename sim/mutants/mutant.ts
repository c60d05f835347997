/** A bug on purpose, to see that the simulator finds it. */
import type { Clock } from "../../packages/batchwork/src/core/clock.ts";
import type { Storage } from "../../packages/batchwork/src/storage/storage.ts";
import type { Rng } from "../rng.ts";
import type { Invariant } from "../violation.ts";

/** What a mutant may use besides the storage it spoils. */
export interface MutantEnv {
  readonly clock: Clock;
  readonly rng: Rng;
}

/** The bug, in one run. What its processes share lives in the closure that made it. */
export interface MutantRun {
  /** Spoils the storage of one process, underneath everything that looks on. */
  readonly storage?: (inner: Storage, env: MutantEnv) => Storage;
  /** Spoils what one engine makes of its storage, above the faults. */
  readonly engine?: (outer: Storage) => Storage;
}

export interface Mutant {
  readonly name: string;
  /** What it breaks, in a few words. */
  readonly about: string;
  /** What it must be found by. Anything else would be the right answer for the wrong reason. */
  readonly foundBy: readonly Invariant[];
  readonly begin: () => MutantRun;
}
