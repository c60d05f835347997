/** What a turn of the loop assigns to whom. Pure: rows in, decisions out. */
import { RESERVE } from "./limits.js";
import { sharesOf, type Share } from "./shares.js";
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
  /** Its items run one at a time. */
  readonly serial: boolean;
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
  /** Heads of which only the first so many items are assigned. */
  readonly cuts: ReadonlyMap<number, number>;
  /** Heads that wait for their pool's throttle, not for room. */
  readonly throttled: ReadonlySet<number>;
  /** Lanes that have to make do with fewer slots, because other pools wait for their share. */
  readonly shares: readonly Share[];
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
  /** Items of each throttled pool that may begin now. */
  readonly permits: ReadonlyMap<string, number>;
}

/** Who runs items of this type. */
export function kindOf(type: FunctionType): RunKind {
  return type === "query" || type === "either" ? "action" : type;
}

/** How many slots a row can use. */
export function widthOf({ count, serial }: { count: number; serial: boolean }): number {
  return serial ? 1 : count;
}

/**
 * Assigns as many heads as there is room for, first come first served within each pool. Pools that
 * wait side by side get equal shares of the room first; what a pool does not use is the others'.
 */
export function plan(heads: readonly Head[], lanes: readonly Lane[], limits: PlanLimits): Plan {
  const planner = new Planner(heads, lanes, limits);
  const pools = new Set([...heads, ...lanes].map(({ pool }) => pool));
  const share = Math.max(1, Math.floor(limits.maxParallelism / pools.size));
  if (pools.size > 1) planner.round(share, share);
  planner.round(Number.POSITIVE_INFINITY, share);
  const { assigned, fresh, cuts, throttled } = planner;
  const starved = new Set(
    heads.filter((_, at) => assigned[at] === null && !throttled.has(at)).map(({ pool }) => pool),
  );
  const { used, free } = planner;
  const shares = sharesOf(lanes, { used, share, starved, excess: Math.max(0, -free) });
  return { assigned, fresh, cuts, throttled, shares };
}

class Planner {
  readonly assigned: (number | null)[];
  readonly fresh: FreshLane[] = [];
  readonly cuts = new Map<number, number>();
  readonly throttled = new Set<number>();
  /** Slots of each pool. */
  readonly used = new Map<string, number>();
  free: number;
  readonly #heads: readonly Head[];
  readonly #lanes: readonly Lane[];
  readonly #limits: PlanLimits;
  readonly #permits: Map<string, number>;
  readonly #open: Open[];

  constructor(heads: readonly Head[], lanes: readonly Lane[], limits: PlanLimits) {
    this.assigned = heads.map(() => null);
    this.#heads = heads;
    this.#lanes = lanes;
    this.#limits = limits;
    this.#permits = new Map(limits.permits);
    this.free = limits.maxParallelism - lanes.reduce((sum, lane) => sum + lane.slots, 0);
    for (const { pool, slots } of lanes) this.#use(pool, slots);
    this.#open = lanes.flatMap((lane, index): Open[] =>
      lane.wants && lane.slots > 0 ? [{ lane, index, load: lane.outstanding }] : [],
    );
  }

  /** Assigns heads whose pools have fewer than `most` slots; above `share`, nobody may starve. */
  round(most: number, share: number): void {
    for (const [at, head] of this.#heads.entries()) {
      this.assigned[at] ??= this.#assign(head, at, most, share);
    }
  }

  #assign(head: Head, at: number, most: number, share: number): number | null {
    const { pool } = head;
    const permits = this.#permits.get(pool);
    if (permits !== undefined && permits <= 0) {
      this.throttled.add(at);
      return null;
    }
    const kind = kindOf(head.type);
    const room = Math.min(this.free, most - (this.used.get(pool) ?? 0));
    if (kind === "mutation" || head.alone) {
      if (room <= 0) return null;
      this.#begin(head, at, permits);
      return this.#launch({ pool, kind, slots: 1 }).index;
    }
    if ((this.used.get(pool) ?? 0) > share && this.#isAnyStarved(pool, share)) return null;
    let best = this.#roomiest(pool, kind);
    if (best === undefined && room > 0) {
      const wanted = Math.min(this.#demandOf(at), room, permits ?? room);
      for (const slots of evenly(wanted, this.#limits.slotsMax[kind])) {
        this.#open.push(this.#launch({ pool, kind, slots }));
      }
      best = this.#roomiest(pool, kind);
    }
    if (best === undefined) return null;
    // What is throttled is not kept in stock: it begins when it is assigned.
    const fitting =
      permits === undefined ? undefined : Math.min(permits, best.lane.slots - best.load);
    best.load += this.#begin(head, at, fitting);
    return best.index;
  }

  /** Notes that a head begins, its first `most` items only. Returns the slots it can use. */
  #begin(head: Head, at: number, most: number | undefined): number {
    const { pool, serial } = head;
    if (most === undefined) return widthOf(head);
    const count = Math.min(head.count, serial ? 1 : most);
    if (count < head.count) this.cuts.set(at, count);
    this.#permits.set(pool, (this.#permits.get(pool) ?? 0) - count);
    return count;
  }

  #launch(lane: FreshLane): Open {
    this.free -= lane.slots;
    this.#use(lane.pool, lane.slots);
    return { lane, index: this.#lanes.length + this.fresh.push(lane) - 1, load: 0 };
  }

  #use(pool: string, slots: number): void {
    this.used.set(pool, (this.used.get(pool) ?? 0) + slots);
  }

  /** Whether another pool waits for slots of its share. */
  #isAnyStarved(pool: string, share: number): boolean {
    return this.#heads.some(
      (head, at) =>
        this.assigned[at] === null &&
        head.pool !== pool &&
        !this.throttled.has(at) &&
        (this.used.get(head.pool) ?? 0) < share,
    );
  }

  /** The lane with the least to do for its slots, among those of the pool that have room. */
  #roomiest(pool: string, kind: RunKind): Open | undefined {
    const reserve = this.#permits.has(pool) ? 0 : RESERVE;
    let best: Open | undefined;
    for (const one of this.#open) {
      const { lane, load } = one;
      if (lane.pool !== pool || lane.kind !== kind || load >= lane.slots + reserve) continue;
      if (best === undefined || load / lane.slots < best.load / best.lane.slots) best = one;
    }
    return best;
  }

  /** Slots that rows from here on could use in the same executors. */
  #demandOf(from: number): number {
    const { pool, type } = this.#heads[from] as Head;
    return this.#heads
      .slice(from)
      .filter((head) => head.pool === pool && kindOf(head.type) === kindOf(type) && !head.alone)
      .reduce((sum, head) => sum + widthOf(head), 0);
  }
}

/** So many slots in as few executors as can be. */
function evenly(slots: number, slotsMax: number): number[] {
  const count = Math.ceil(slots / slotsMax);
  return Array.from({ length: count }, (_, i) => Math.floor((slots + i) / count));
}
