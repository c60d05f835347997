/** What the processes of a campaign on a pool wrote down. Each line is one write. */
import { openSync, readFileSync, writeSync } from "node:fs";

import { systemClock } from "../../packages/batchwork/src/runtime/clock.ts";

export class PoolJournal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  /** `enqueue` resolved for these. */
  acknowledged(ids: readonly string[]): void {
    this.#write(ids.map((id) => `a ${id}`));
  }

  /** A handler began. */
  began(id: string, serialKey: string | undefined): void {
    this.#write([`b ${id} ${systemClock.wallMs()} ${serialKey ?? "-"}`]);
  }

  /** It ended. */
  ended(id: string): void {
    this.#write([`e ${id} ${systemClock.wallMs()}`]);
  }

  /** The process was taken for dead although it lives. */
  superseded(): void {
    this.#write(["z zombie"]);
  }

  #write(lines: readonly string[]): void {
    writeSync(this.#file, lines.map((line) => `${line}\n`).join(""));
  }
}

/** What all journals say together. */
export interface PoolTold {
  readonly acknowledged: ReadonlySet<string>;
  /** Tasks of which a handler came to an end. */
  readonly ended: ReadonlySet<string>;
  /** Handlers that were called, and those of tasks that had begun before. */
  readonly begun: number;
  readonly begunAgain: number;
  /** Handlers that ran at the same time, at most; in all, and of one serial key. */
  readonly mostRunning: number;
  readonly mostOfOneKey: number;
  /** Processes that were taken for dead although they lived: what they ran counts for nobody. */
  readonly zombies: number;
}

interface Change {
  readonly at: number;
  /** 1 for a begin, -1 for an end. */
  readonly by: 1 | -1;
  readonly key: string;
}

export function readPoolJournals(paths: readonly string[]): PoolTold {
  const acknowledged = new Set<string>();
  const ended = new Set<string>();
  const begun: string[] = [];
  const changes: Change[] = [];
  let zombies = 0;
  for (const path of paths) {
    const running = new Map<string, string>();
    let last = 0;
    for (const line of readFileSync(path, "utf8").split("\n")) {
      const [kind, id = "", at = "", key = "-"] = line.split(" ");
      if (at !== "") last = Number(at);
      if (kind === "a") acknowledged.add(id);
      else if (kind === "z") zombies++;
      else if (kind === "b") {
        begun.push(id);
        running.set(id, key);
        changes.push({ at: last, by: 1, key });
      } else if (kind === "e") {
        ended.add(id);
        changes.push({ at: last, by: -1, key: running.get(id) ?? "-" });
        running.delete(id);
      }
    }
    // Whoever was killed runs nothing after its last word.
    for (const key of running.values()) changes.push({ at: last, by: -1, key });
  }
  const keys = new Set(changes.map(({ key }) => key)).difference(new Set(["-"]));
  const ofKeys = [...keys].map((one) => mostAtOnce(changes.filter(({ key }) => key === one)));
  return {
    acknowledged,
    ended,
    begun: begun.length,
    begunAgain: begun.length - new Set(begun).size,
    mostRunning: mostAtOnce(changes),
    mostOfOneKey: Math.max(0, ...ofKeys),
    zombies,
  };
}

/** An end and a begin in the same ms: a place is given away only after it was given back. */
function mostAtOnce(changes: readonly Change[]): number {
  let running = 0;
  let most = 0;
  for (const { by } of changes.toSorted((a, b) => a.at - b.at || a.by - b.by)) {
    running += by;
    most = Math.max(most, running);
  }
  return most;
}
