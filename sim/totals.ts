/** What one run delivered and suffered, in numbers. */
import type { Totals } from "./ledger/ledger.ts";
import type { World } from "./world.ts";

export interface RunTotals extends Totals {
  readonly acknowledged: number;
  readonly done: number;
  readonly dead: number;
  readonly deliveries: number;
  readonly retries: number;
  readonly crashes: number;
  readonly toldOf: number;
  readonly effects: number;
  readonly injected: Readonly<Record<string, number>>;
  /** Virtual time, ms. */
  readonly virtualMs: number;
  readonly events: number;
}

/** The numbers of a run that is over. */
export function totalsOf(world: World): RunTotals {
  const { ledger, store, scheduler, control } = world;
  const items = [...ledger.byUid.values()];
  return {
    ...ledger.totals,
    acknowledged: world.acknowledged,
    done: items.filter(({ state }) => state === "done").length,
    dead: items.filter(({ deaths }) => deaths > 0).length,
    deliveries: world.deliveries,
    retries: world.retries,
    crashes: world.crashes,
    toldOf: world.toldOf,
    effects: store.effects(),
    injected: control.injected,
    virtualMs: scheduler.now,
    events: scheduler.fired,
  };
}
