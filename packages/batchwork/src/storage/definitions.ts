/** The part of the storage port in which processes agree on what a definition is. */
import type { SharedDefinition } from "../core/definition.ts";

export interface Definitions {
  /**
   * Proposes definitions of queues. Each is stored unless the stored one has a higher version
   * (`prevails`); limits and retention follow what is stored. Position by position.
   */
  propose(proposals: readonly Proposal[]): Promise<Agreement[]>;

  /** What is stored now, position by position; `null` where nothing was proposed yet. */
  agreed(queues: readonly number[]): Promise<(SharedDefinition | null)[]>;
}

export interface Proposal extends SharedDefinition {
  readonly queue: number;
}

export interface Agreement {
  /** What holds from now on. */
  readonly stored: SharedDefinition;
  /** What held before; `null` for nothing. */
  readonly before: SharedDefinition | null;
}
