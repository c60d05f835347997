/** What happened in a run, line by line, and one number that stands for all of it. */
import { createHash, type Hash } from "node:crypto";

/** So many lines are printed when a run fails. */
const TAIL = 40;

export class Trace {
  readonly #hash: Hash = createHash("sha256");
  readonly #print: ((line: string) => void) | undefined;
  #tail: string[] = [];

  /** With `print`, every line is shown as it happens. */
  constructor(print?: (line: string) => void) {
    this.#print = print;
  }

  line(at: number, who: string, what: string): void {
    const text = `${at.toFixed(2).padStart(10)} ${who} ${what}`;
    this.#hash.update(text);
    this.#print?.(text);
    this.#tail.push(text);
    if (this.#tail.length > TAIL * 2) this.#tail = this.#tail.slice(-TAIL);
  }

  /** The last lines. */
  tail(): string[] {
    return this.#tail.slice(-TAIL);
  }

  /** Equal for two runs in which the same things happened. Ends the trace. */
  digest(): string {
    return this.#hash.digest("hex").slice(0, 16);
  }
}
