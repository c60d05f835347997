/** Random histories: whatever happens in whatever order, each item is done once and nothing stays. */
import { afterEach, expect, test, vi } from "vitest";
import { advance, advanceUntil, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { isEmpty, stage, type Event, type Stage } from "./fixture.js";

useVirtualTime();

afterEach(() => {
  vi.restoreAllMocks();
});

/** The same numbers for the same seed. */
function drawsOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

interface History {
  readonly at: Stage;
  readonly draw: (below: number) => number;
  /** Items so far. */
  count: number;
}

const GROUPS = ["a", "b", "c"];

/** What may happen; adding and waiting happen most. */
const STEPS: readonly ((history: History) => Promise<unknown>)[] = [
  add,
  add,
  add,
  ({ draw }) => advance(draw(1500)),
  ({ draw }) => advance(draw(300)),
  async ({ draw, count }) => {
    watched.rejected = Array.from({ length: draw(6) }, () => draw(count + 1));
  },
  async ({ draw, count }) => {
    watched.poison = draw(2) === 0 ? null : draw(count + 1);
  },
  async ({ draw }) => {
    watched.fails = draw(3);
  },
  async ({ draw }) => {
    watched.ms = draw(400);
  },
  ({ at }) => at.mutate((ctx) => at.processor.pause(ctx, "events")),
  ({ at }) => at.mutate((ctx) => at.processor.resume(ctx, "events")),
  ({ at, draw }) =>
    at.mutate((ctx) => at.processor.update(ctx, "events", { maxBatchSize: 1 + draw(12) })),
  // Throws where nothing was added, or while it is paused.
  ({ at }) => at.mutate((ctx) => at.processor.flush(ctx, "events")).catch(() => null),
  ({ at, draw }) => at.mutate((ctx) => at.processor.redrive(ctx, "events", { limit: 1 + draw(3) })),
  loseTimers,
];

async function add(history: History): Promise<void> {
  const { at, draw } = history;
  const items: Event[] = Array.from({ length: 1 + draw(15) }, (_, i) => ({
    n: history.count + i,
    text: GROUPS[draw(GROUPS.length)] ?? "a",
  }));
  history.count += items.length;
  await at.add(items);
}

/** The scheduler loses every runner that has not begun. */
async function loseTimers({ at }: History): Promise<void> {
  for (const { state, run } of await at.rows("runners")) {
    if (state === "armed" && run !== undefined) {
      await at.inside((ctx) => ctx.scheduler.cancel(run as never));
    }
  }
}

async function live(seed: number): Promise<History> {
  const draw = drawsOf(seed);
  // The component draws too: whether an add looks if a batch is full.
  vi.spyOn(Math, "random").mockImplementation(() => {
    const drawn = draw(1000);
    return drawn / 1000;
  });
  const at = await stage({
    maxBatchSize: 1 + draw(12),
    flushIntervalMs: 200,
    groupBy: ({ text = "" }) => text,
    backoff: { baseDelay: 100, maxDelay: 1000 },
    ...(draw(2) === 0 ? {} : { maxAttempts: 1 + draw(3) }),
    ...(draw(3) === 0 ? { throttle: { max: 3, duration: 1000 } } : {}),
  });
  const history = { at, draw, count: 0 };
  for (let step = 0; step < 40; step++) await STEPS[draw(STEPS.length)]?.(history);
  return history;
}

test.each(Array.from({ length: 30 }, (_, i) => i + 1))(
  "history %s ends with every item done once",
  async (seed) => {
    const { at, count } = await live(seed);
    Object.assign(watched, { rejected: [], poison: null, fails: 0, ms: 0 });
    await at.mutate((ctx) => at.processor.resume(ctx, "events"));
    await advance(20_000);
    await advanceUntil(() => isEmpty(at));
    let redriven = 1;
    while (redriven > 0) {
      redriven = await at.mutate((ctx) => at.processor.redrive(ctx, "events"));
      await advance(20_000);
      await advanceUntil(() => isEmpty(at));
    }
    const done = watched.done.flat().toSorted((a, b) => a - b);
    expect(done).toEqual(Array.from({ length: count }, (_, n) => n));
    expect(await at.t.query((ctx) => at.processor.deadLetters(ctx, "events"))).toEqual([]);
  },
);
