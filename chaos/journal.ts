/** What one worker wrote down before it was killed. Each line is one write, so none is torn. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/** Appends lines to a file. What was written survives the death of the process. */
export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  /** `add` resolved for these items. */
  acknowledged(uids: readonly string[]): void {
    writeSync(this.#file, uids.map((uid) => `a ${uid}\n`).join(""));
  }

  /** A handler was given this batch. */
  delivered(batch: string, items: number): void {
    writeSync(this.#file, `d ${batch} ${items}\n`);
  }

  /** What a handler wrote was refused: the lease was another's by then. */
  fenced(batch: string): void {
    writeSync(this.#file, `f ${batch}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** What all journals say together. */
export interface Told {
  readonly acknowledged: ReadonlySet<string>;
  /** Deliveries, and those of a batch that had been delivered before. */
  readonly deliveries: number;
  readonly redelivered: number;
  /** Transactions that were refused because the lease was another's. */
  readonly fenced: number;
}

/** Reads the journals of all workers. */
export function readJournals(paths: readonly string[]): Told {
  const acknowledged = new Set<string>();
  const batches = new Set<string>();
  let deliveries = 0;
  let fenced = 0;
  for (const path of paths) {
    for (const line of readFileSync(path, "utf8").split("\n")) {
      const [kind, id] = line.split(" ");
      if (id === undefined) continue;
      if (kind === "a") acknowledged.add(id);
      else if (kind === "f") fenced++;
      else {
        deliveries++;
        batches.add(id);
      }
    }
  }
  return { acknowledged, deliveries, redelivered: deliveries - batches.size, fenced };
}
