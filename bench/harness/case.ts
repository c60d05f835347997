/** What a row of the benchmark is made of. */
import type { Measurement } from "./meter.ts";

/** Runs a row once, in a process of its own. Rejects when an item was lost or came twice. */
export type RunCase = (context: CaseContext) => Promise<CaseResult>;

export interface CaseContext {
  /** An empty directory on a real disk, for this run alone. */
  readonly directory: string;
  readonly items: number;
  /** For a row that alternates inside: how many rounds. */
  readonly rounds: number;
}

export interface CaseResult extends Measurement {
  /** What holds for the last acknowledged items of this row if the power fails, as read back. */
  readonly durability: string;
  /** Only of the row that measures latency. */
  readonly latency?: readonly LatencyRound[];
}

/** Latencies of awaited calls in ms, empty and loaded queue taking turns. */
export interface LatencyRound {
  readonly add: LatencyPair;
  readonly addBulk100: LatencyPair;
}

export interface LatencyPair {
  readonly empty: Latency;
  readonly loaded: Latency;
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** An entry of the list of rows. */
export interface BenchCase {
  /** For `--only`, and the key in the JSON. */
  readonly name: string;
  /** For the table. */
  readonly title: string;
  /** Items in quick mode. */
  readonly quick: number;
  /** Items in the full run. */
  readonly full: number;
  /** Items that go through first, untimed, so that compiled code is measured. 0 for none. */
  readonly warmUp: number;
  /** True for a row that has its rounds inside, so one process is enough. */
  readonly once?: true;
  /** True for a row that no ratio needs: quick mode leaves it out. */
  readonly fullOnly?: true;
  readonly load: () => Promise<RunCase>;
}
