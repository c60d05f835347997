/** One look at a time: who asks while one is under way waits until it has been repeated. */
import { trouble } from "./observation.ts";
import type { Surroundings } from "./surroundings.ts";

/** What a loop looks with. */
export interface RoundsOptions {
  /** False where there is nothing to look for any more, or not yet. */
  readonly active: () => boolean;
  /** Settles what ended, claims what is due, starts it. */
  readonly round: () => Promise<void>;
  /** What is said of a look that failed and that nobody waits for. */
  readonly failed: string;
}

/** The rounds of one loop. */
export class Rounds {
  readonly #around: Surroundings;
  readonly #options: RoundsOptions;
  #underWay: Promise<void> | undefined;
  #again = false;

  constructor(around: Surroundings, options: RoundsOptions) {
    this.#around = around;
    this.#options = options;
  }

  /** Resolves when a round that began no earlier than this call has ended. */
  async tick(): Promise<void> {
    if (this.#underWay !== undefined) {
      this.#again = true;
      return this.#underWay;
    }
    this.#underWay = this.#run();
    try {
      await this.#underWay;
    } finally {
      this.#underWay = undefined;
    }
  }

  /** The same for those who do not wait: a failure is logged. */
  async tickSafely(): Promise<void> {
    try {
      await this.tick();
    } catch (error) {
      trouble(this.#around, "error", this.#options.failed, { error });
    }
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    await this.#underWay?.catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { active, round } = this.#options;
    do {
      this.#again = false;
      if (!active()) return;
      await round();
    } while (this.#again);
  }
}
