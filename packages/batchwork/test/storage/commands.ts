/** What the differential test asks of every storage, as plain data. */
import { halves } from "../../src/core/bisect.ts";
import type { Outcome } from "../../src/core/settle.ts";

export const LEASE_MS = 15_000;

const FAILURE = { name: "Error", message: "no luck" };

/** What a run keeps the same from its first command to its last. */
export interface Setting {
  readonly groups: readonly string[];
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly groupConcurrency: number;
  readonly maxCrashes: number;
}

/** How one attempt ends. `pattern` says of each item, two bits at a time, what becomes of it. */
export interface End {
  readonly pick: number;
  readonly how: "done" | "again" | "halves" | "mixed" | "stale";
  readonly delayMs: number;
  readonly pattern: number;
}

export type Command =
  | {
      readonly do: "append";
      readonly chunks: readonly (readonly [group: number, count: number])[];
      readonly dueInMs: number;
    }
  | {
      readonly do: "exchange";
      readonly worker: number;
      readonly ends: readonly End[];
      readonly limit: number;
      readonly alone: boolean;
    }
  | { readonly do: "release" | "reconcile"; readonly worker: number; readonly mask: number }
  | { readonly do: "heartbeat" | "retire" | "absolve"; readonly worker: number }
  | { readonly do: "reap" }
  | { readonly do: "flush"; readonly group: number }
  | { readonly do: "pause"; readonly paused: boolean }
  | { readonly do: "redrive" | "discard"; readonly mask: number }
  | { readonly do: "tell"; readonly acknowledge: number }
  | {
      readonly do: "transact";
      readonly worker: number;
      readonly pick: number;
      readonly fail: boolean;
    };

/** What has happened on a system, so that a run in which nothing did cannot pass. */
export class Tally {
  claimed = 0;
  retried = 0;
  alone = 0;
  dead = 0;
  lost = 0;

  add(other: Tally): void {
    this.claimed += other.claimed;
    this.retried += other.retried;
    this.alone += other.alone;
    this.dead += other.dead;
    this.lost += other.lost;
  }
}

interface Attempted {
  readonly attempt: number;
  readonly count: number;
}

/** What a worker says of a batch. */
export function outcomeOf({ attempt, count }: Attempted, { how, delayMs, pattern }: End): Outcome {
  if (how === "again") return { kind: "again", attempt: attempt + 1, delayMs, error: FAILURE };
  if (how === "halves" && count > 1) {
    const parts = halves(count).map((positions) => ({
      positions,
      attempt,
      delayMs: 0,
      error: FAILURE,
    }));
    return { kind: "split", children: parts, dead: [], error: FAILURE };
  }
  if (how !== "mixed") return { kind: "done" };
  const positions: number[] = [];
  const dead: { position: number; error: typeof FAILURE }[] = [];
  for (let position = 0; position < count; position++) {
    const fate = (pattern >> (2 * position)) & 3;
    if (fate === 1) positions.push(position);
    if (fate === 2) dead.push({ position, error: FAILURE });
  }
  const part = { positions, attempt: attempt + 1, delayMs, error: FAILURE };
  return { kind: "split", children: positions.length > 0 ? [part] : [], dead, error: FAILURE };
}
