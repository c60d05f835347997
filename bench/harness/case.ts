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
  /** Only of rows on a server. */
  readonly server?: ServerCost;
  /** Only of the row that measures latency. */
  readonly latency?: readonly LatencyRound[];
  /** Only of rows that measure waking up: from `ping` to the row, and a bare timer beside it, ms. */
  readonly wake?: { readonly ping: Latency; readonly timer: Latency };
}

/** What a measurement has cost the database server. */
export interface ServerCost {
  /** `null` where there is no such thing, as for the two that follow. */
  readonly walBytes: number | null;
  /** Transactions that wrote: each takes an id, and so does a savepoint that writes. */
  readonly commits: number | null;
  /** Statements this process sent, each answered before its caller went on. */
  readonly roundTrips: number | null;
  /** User and system time of all of the server's processes; `null` unless it runs on this machine. */
  readonly cpuMs: number | null;
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
  /**
   * Rows that stand together with the same text here run twice a round, in turn: they are close,
   * and one pair a round would say as much of the machine as of them.
   */
  readonly race?: string;
  /** True for a row that no ratio needs: quick mode leaves it out. */
  readonly fullOnly?: true;
  /** Why it cannot run on this machine; `undefined` when it can. Default: it can. */
  readonly missing?: () => string | undefined;
  readonly load: () => Promise<RunCase>;
}
