/** What a turn of the loop assigns to whom. Pure: rows in, decisions out. */
import { RESERVE } from "./limits.js";
import type { FunctionType, RunKind } from "./validators.js";

/** A waiting work row. */
export interface Head {
  readonly pool: string;
  readonly priority: number;
  readonly type: FunctionType;
  /** Unsettled items. */
  readonly count: number;
  /** It was running when an executor crashed: it gets one of its own. */
  readonly alone: boolean;
}

/** A run that exists. */
export interface Lane {
  readonly pool: string;
  readonly kind: RunKind;
  readonly slots: number;
  /** Assigned and not known to be settled. */
  readonly outstanding: number;
  /** It asked for more. */
  readonly wants: boolean;
}

/** A run to be made. */
export interface FreshLane {
  readonly pool: string;
  readonly kind: RunKind;
  readonly slots: number;
}

export interface Plan {
  /** For each head, in their order: the lane's index (fresh ones follow the others), or `null`. */
  readonly assigned: readonly (number | null)[];
  readonly fresh: readonly FreshLane[];
}

interface Open {
  readonly lane: FreshLane;
  readonly index: number;
  load: number;
}

/** What a plan has to keep to. */
export interface PlanLimits {
  /** Items at a time, over all lanes. */
  readonly maxParallelism: number;
  /** Slots of one executor, by its kind. */
  readonly slotsMax: Readonly<Record<RunKind, number>>;
}

/** Who runs items of this type. */
export function kindOf(type: FunctionType): RunKind {
  return type === "query" || type === "either" ? "action" : type;
}

/** Assigns as many heads as there is room for, first come first served within each pool. */
export function plan(heads: readonly Head[], lanes: readonly Lane[], limits: PlanLimits): Plan {
  let free = limits.maxParallelism - lanes.reduce((sum, lane) => sum + lane.slots, 0);
  const fresh: FreshLane[] = [];
  const open = lanes.flatMap((lane, index): Open[] =>
    lane.wants && lane.slots > 0 ? [{ lane, index, load: lane.outstanding }] : [],
  );
  const launch = (lane: FreshLane): Open => {
    free -= lane.slots;
    return { lane, index: lanes.length + fresh.push(lane) - 1, load: 0 };
  };
  const assigned = heads.map((head, at): number | null => {
    const { pool } = head;
    const kind = kindOf(head.type);
    if (kind === "mutation" || head.alone) {
      return free > 0 ? launch({ pool, kind, slots: 1 }).index : null;
    }
    let best = roomiest(open, pool, kind);
    if (best === undefined && free > 0) {
      const wanted = Math.min(demandOf(heads, at), free);
      for (const slots of evenly(wanted, limits.slotsMax[kind])) {
        open.push(launch({ pool, kind, slots }));
      }
      best = roomiest(open, pool, kind);
    }
    if (best === undefined) return null;
    best.load += head.count;
    return best.index;
  });
  return { assigned, fresh };
}

/** The lane with the least to do for its slots, among those of the pool that have room. */
function roomiest(open: readonly Open[], pool: string, kind: RunKind): Open | undefined {
  let best: Open | undefined;
  for (const one of open) {
    const { lane, load } = one;
    if (lane.pool !== pool || lane.kind !== kind || load >= lane.slots + RESERVE) continue;
    if (best === undefined || load / lane.slots < best.load / best.lane.slots) best = one;
  }
  return best;
}

/** Items from here on that the same executors would run. */
function demandOf(heads: readonly Head[], from: number): number {
  const { pool, type } = heads[from] as Head;
  return heads
    .slice(from)
    .filter((head) => head.pool === pool && kindOf(head.type) === kindOf(type) && !head.alone)
    .reduce((sum, head) => sum + head.count, 0);
}

/** So many slots in as few executors as can be. */
function evenly(slots: number, slotsMax: number): number[] {
  const count = Math.ceil(slots / slotsMax);
  return Array.from({ length: count }, (_, i) => Math.floor((slots + i) / count));
}
