/** The part of the storage port that keeps what loops gave up. */
import type { StoredError } from "../core/errors.ts";

export interface LoopDead {
  /** Dead letters of the loops of one definition, or of one part of it, oldest first. */
  deadLetters(query: LoopDeadQuery): Promise<LoopLetter[]>;

  /** Deletes dead letters of a definition. Returns how many. */
  discardDead(query: LoopLetters): Promise<number>;

  /**
   * Marks dead letters of a definition to be taken up again and makes their loops due, unless they
   * are paused or have ended. The owner reads them (`marked`) and removes them with a step
   * (`revive`). Returns how many were marked.
   */
  redriveDead(query: LoopLetters): Promise<number>;
}

/** Dead letters of a definition, by id or all of them. */
export interface LoopLetters {
  readonly kind: string;
  readonly name: string;
  readonly ids: readonly number[] | "all";
}

export interface LoopDeadQuery {
  readonly kind: string;
  readonly name: string;
  /** `null` for all parts. */
  readonly part: string | null;
  /** Only those marked to be taken up again. */
  readonly marked: boolean;
  /** Only ids above this one. */
  readonly after: number;
  readonly limit: number;
}

export interface LoopLetter {
  readonly id: number;
  readonly loop: number;
  readonly part: string;
  readonly item: string;
  readonly error: StoredError;
  readonly attempts: number;
  /** True once somebody asked for another try. */
  readonly marked: boolean;
  readonly diedAt: number;
}
