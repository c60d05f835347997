/** From what was measured to what is printed: ratios to the peers, and absolute figures. */
import { isMet, type Target } from "../harness/report.ts";
import { rounded } from "../harness/statistics.ts";
import type { Cost } from "./scenario.ts";

export type Costs = Readonly<Record<string, Cost>>;

/** Figures of others, with what they are of. */
export interface PeerCosts {
  readonly versions: Readonly<Record<string, string>>;
  readonly hopMs: number;
  readonly rows: Costs;
}

type Judged = Target & { readonly met: boolean | null };

export interface ConvexReport {
  /** Ours by the peer's; `null`: not measured. */
  readonly ratios: Readonly<Record<string, number | null>>;
  /** Of whole workloads. */
  readonly absolute: Readonly<Record<string, number | null>>;
  readonly targets: Readonly<Record<string, Judged>>;
  readonly rows: Costs;
  readonly peers: PeerCosts;
}

type Figure = (cost: Cost) => number;

const executions: Figure = (cost) => cost.executions / cost.items;
const documentsWritten: Figure = (cost) => cost.documentsWritten / cost.items;
const bytes: Figure = (cost) => (cost.bytesRead + cost.bytesWritten) / cost.items;

interface Ratio extends Target {
  readonly of: Figure;
  readonly ours: string;
  readonly peer: string;
}

function ratio(atMost: number, ours: string, peer = ours, of = executions): Ratio {
  return { atMost, of, ours, peer };
}

/** What the project promises, measured per item. */
const RATIOS: Readonly<Record<string, Ratio>> = {
  poolCalls: ratio(0.36, "poolCalls"),
  poolCallsOnComplete: ratio(0.55, "poolCallsOnComplete"),
  poolCallsOnCompleteIsolated: ratio(0.8, "poolCallsOnCompleteIsolated", "poolCallsOnComplete"),
  poolMutations: ratio(0.35, "poolMutations"),
  poolMutationsIsolated: ratio(0.55, "poolMutationsIsolated", "poolMutations"),
  poolSingles: ratio(0.55, "poolSingles"),
  poolDocsWritten: ratio(0.05, "poolCalls", "poolCalls", documentsWritten),
  poolBytes: ratio(0.3, "poolCalls", "poolCalls", bytes),
  poolTrickle: ratio(0.25, "poolTrickle"),
  workerBurst: ratio(1, "workerBurst"),
  workerTrickle: ratio(0.3, "workerTrickle"),
};

interface Absolute extends Target {
  readonly row: string;
  readonly of: Figure;
}

const perThousand: Figure = (cost) => executions(cost) * 1000;

const ABSOLUTE: Readonly<Record<string, Absolute>> = {
  batchWorkpoolExecutions: { atMost: 120, row: "batchWorkpool", of: perThousand },
  addItemsCallsExecutions: { atMost: 60, row: "addItemsCalls", of: perThousand },
  addItemsSinglesExecutions: { atMost: 2060, row: "addItemsSingles", of: perThousand },
  iteratorExecutions: { atMost: 45, row: "iterator", of: perThousand },
  poolParallel10Seconds: { atMost: 11, row: "poolParallel10", of: ({ lastMs }) => lastMs / 1000 },
  poolOneSlowOthersSeconds: {
    atMost: 12,
    row: "poolOneSlow",
    of: ({ lastButOneMs }) => lastButOneMs / 1000,
  },
};

export function report(rows: Costs, peers: PeerCosts): ConvexReport {
  const ratios = Object.entries(RATIOS).map(([name, { of, ours, peer }]) => {
    const [mine, others] = [rows[ours], peers.rows[peer]];
    const known = mine !== undefined && others !== undefined;
    return [name, known ? of(mine) / of(others) : null] as const;
  });
  const absolute = Object.entries(ABSOLUTE).map(([name, { row, of }]) => {
    const cost = rows[row];
    return [name, cost === undefined ? null : of(cost)] as const;
  });
  const judged = [...ratios, ...absolute].map(([name, value]) => {
    const { atMost = Infinity } = RATIOS[name] ?? ABSOLUTE[name] ?? {};
    return [name, { atMost, met: isMet({ atMost }, value) }] as const;
  });
  return {
    ratios: readable(ratios),
    absolute: readable(absolute),
    targets: Object.fromEntries(judged),
    rows,
    peers,
  };
}

function readable(
  values: readonly (readonly [string, number | null])[],
): Record<string, number | null> {
  return Object.fromEntries(
    values.map(([name, value]) => [name, value === null ? null : rounded(value)]),
  );
}
