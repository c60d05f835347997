/** Producers that add with idempotency keys, and repeat themselves whatever came of it. */
import type { Batch } from "batchwork";
import type { SimItem } from "./item.ts";
import type { Life } from "./life.ts";
import type { World } from "./world.ts";

/** One add that will be made again. */
export interface Repeat {
  /** Virtual time. */
  readonly at: number;
  /** Position of its queue. */
  readonly queue: number;
  readonly items: readonly SimItem[];
  /** The keys of the items. */
  readonly keys: readonly string[];
}

/** How many adds of other content use keys that are taken. */
const OTHERS = 0.15;

/** Adds items under keys of their own, now and up to three times again. */
export function addKeyed(
  world: World,
  life: Life,
  queue: number,
  items: readonly SimItem[],
  failed: (error: unknown) => void,
): void {
  const { rng, plan, scheduler } = world;
  const keys = items.map(({ uid }) => `key ${uid}`);
  call(world, life, { at: scheduler.now, queue, items, keys }, failed);
  const repeats = rng.whole(0, 3);
  for (let n = 0; n < repeats; n++) {
    // Some at once, through other processes.
    const at = scheduler.now + (rng.chance(0.3) ? 0 : rng.exponential(plan.leaseMs));
    world.repeats = [...world.repeats, { at, queue, items, keys }];
  }
}

/** Makes the repeats that are due, each through whoever is up. */
export function repeatDue(
  world: World,
  up: readonly Life[],
  failed: (life: Life, error: unknown) => void,
): void {
  const { rng, scheduler, plan } = world;
  const due = world.repeats.filter(({ at }) => at <= scheduler.now);
  world.repeats = world.repeats.filter(({ at }) => at > scheduler.now);
  for (const repeat of due) {
    const life = rng.pick(up);
    const other = rng.chance(OTHERS);
    const queue = plan.queues[repeat.queue];
    const items =
      other && queue !== undefined
        ? repeat.items.map(() => world.newItem(queue).item)
        : repeat.items;
    if (other) world.calls.push(items.map(({ uid }) => uid));
    call(world, life, { ...repeat, items }, (error) => failed(life, error));
  }
}

function call(
  world: World,
  life: Life,
  { queue, items, keys }: Repeat,
  failed: (error: unknown) => void,
): void {
  const batch = life.batches[queue] as Batch<SimItem>;
  world.ledger.note(life.name, `add ${batch.name} [${keys.join(", ")}]`);
  void (async () => {
    try {
      const options = { idempotencyKey: (_item: SimItem, n: number) => keys[n] };
      const results = await batch.addBulk(items, options);
      for (const [n, { id, duplicate }] of results.entries()) {
        // A duplicate that was redriven has another id by now.
        world.acknowledge(items[n] as SimItem, duplicate ? null : id);
      }
    } catch (error) {
      failed(error);
    }
  })();
}
