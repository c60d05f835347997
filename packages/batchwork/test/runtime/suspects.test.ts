/** Batches whose process died: they run alone, and what keeps killing is dead itself. */
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import type { BatchContext } from "../../src/runtime/context.ts";
import { Fixture, Hold, recorder, STORAGES, type Process, forever, ascending } from "./fixture.ts";

const LIMITS = { name: "events", maxSize: 1, maxWaitMs: 1000 };
/** More than a lease. */
const TAKEOVER_MS = 20_000;

interface Life {
  readonly process: Process;
  readonly batch: Batch<string>;
}

/** A process in which the item "poison" kills it. */
async function live(
  f: Fixture,
  seen: (context: BatchContext<string>) => unknown = () => undefined,
  options: {
    readonly maxCrashes?: number;
    readonly onDead?: (items: readonly string[]) => void;
  } = {},
): Promise<Life> {
  const { maxCrashes = 3, onDead } = options;
  // A process may be handed what is left of an earlier one before its start resolves.
  const started = Promise.withResolvers<Process>();
  const { process, batch } = await f.started(
    (bw) =>
      bw.batch<string>({
        ...LIMITS,
        deadLetter: { enabled: true, onDead: ({ items }) => onDead?.(items) },
        handler: async (context) => {
          await seen(context);
          if (!context.batch.includes("poison")) return;
          (await started.promise).kill();
          await forever();
        },
      }),
    { maxCrashes },
  );
  started.resolve(process);
  return { process, batch };
}

describe.each(STORAGES)("suspects on %s storage", (kind) => {
  test("what a dead process was running runs alone, one by one, beside nothing", async () => {
    const f = new Fixture(kind);
    const dying = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, handler: () => forever() }),
    );
    await f.run(dying.batch.addBulk(["a", "b", "c"]));
    await f.advance(0);
    dying.process.kill();
    await f.advance(10_000);
    const hold = new Hold();
    const { deliveries, handler } = recorder<string>(f.clock, () => hold.wait());
    const { batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }));
    await f.run(batch.addBulk(["d", "e"]));
    await f.advance(0);
    // Before anybody is suspected, batches run side by side.
    expect(deliveries.map(({ items }) => items[0])).toEqual(["d", "e"]);
    await f.advance(TAKEOVER_MS);
    await f.run(batch.addBulk(["f", "g"]));
    await f.advance(5000);
    expect(deliveries).toHaveLength(2);
    hold.release();
    await f.advance(5000);
    expect(deliveries).toHaveLength(2);
    const alone: (string | undefined)[] = [];
    for (let n = 0; n < 3; n++) {
      hold.release();
      await f.advance(5000);
      expect(hold.waiting).toBe(1);
      alone.push(deliveries.at(-1)?.items[0]);
    }
    expect(alone.toSorted(ascending)).toEqual(["a", "b", "c"]);
    hold.release();
    await f.advance(0);
    expect(deliveries.slice(5).map(({ items }) => items[0])).toEqual(["f", "g"]);
    hold.releaseAll();
  });

  test("an item that kills its process ends as a dead letter, and takes nobody along", async () => {
    const f = new Fixture(kind);
    const done: string[] = [];
    const told: (readonly string[])[] = [];
    let kills = 0;
    const seen = ({ batch: items, attempt }: BatchContext<string>): void => {
      expect(attempt).toBe(1);
      if (items.includes("poison")) kills++;
      else done.push(...items);
    };
    const onDead = (items: readonly string[]): void => void told.push(items);
    let life = await live(f, seen, { onDead });
    // "a" and "b" are being run when the first process dies.
    await f.run(life.batch.addBulk(["a", "poison", "b", "c"]));
    for (let lives = 0; lives < 6; lives++) {
      await f.advance(TAKEOVER_MS);
      if (life.process.killed) life = await live(f, seen, { onDead });
    }
    await f.advance(TAKEOVER_MS);
    expect(life.process.killed).toBe(false);
    expect(kills).toBe(4);
    expect(new Set(done)).toEqual(new Set(["a", "b", "c"]));
    expect(await f.run(life.batch.deadLetters.list())).toMatchObject([
      { item: "poison", crashes: 3, attempts: 0, error: { code: "CRASHED" } },
    ]);
    expect(told).toEqual([["poison"]]);
    expect(await f.run(life.batch.status())).toMatchObject({ waiting: 0, retrying: 0, leased: 0 });
  });

  test("maxCrashes says how often it may kill while alone", async () => {
    const f = new Fixture(kind);
    let kills = 0;
    const seen = (): number => kills++;
    let life = await live(f, seen, { maxCrashes: 1 });
    await f.run(life.batch.add("poison"));
    for (let lives = 0; lives < 4; lives++) {
      await f.advance(TAKEOVER_MS);
      if (life.process.killed) life = await live(f, seen, { maxCrashes: 1 });
    }
    expect(kills).toBe(2);
    expect(await f.run(life.batch.status())).toMatchObject({ dead: 1, retrying: 0, leased: 0 });
  });

  test("a suspect that succeeds alone is done, and one that fails has its attempts", async () => {
    const f = new Fixture(kind);
    const dying = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, handler: () => forever() }),
    );
    await f.run(dying.batch.addBulk(["good", "bad"]));
    await f.advance(0);
    dying.process.kill();
    const { deliveries, handler } = recorder<string>(f.clock, ({ batch: [item], attempt }) => {
      if (item === "bad" && attempt === 1) throw new Error("not yet");
    });
    const { batch } = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, retries: { max: 1, baseDelay: 1000 }, handler }),
    );
    await f.advance(60_000);
    expect(
      deliveries.map(({ items, attempt }) => `${items[0]} ${attempt}`).toSorted(ascending),
    ).toEqual(["bad 1", "bad 2", "good 1"]);
    expect(await f.run(batch.status())).toMatchObject({ retrying: 0, leased: 0, dead: 0 });
  });

  test("stop() counts nothing, however often: no attempt, no crash, no suspicion", async () => {
    const f = new Fixture(kind);
    const { deliveries, handler } = recorder<string>(f.clock, () => forever());
    for (let lives = 0; lives < 6; lives++) {
      const { bw, batch } = await f.started((bw) => bw.batch<string>({ ...LIMITS, handler }), {
        maxCrashes: 1,
      });
      if (lives === 0) await f.run(batch.addBulk(["a", "b"]));
      await f.advance(0);
      // Both at once: neither is a suspect.
      expect(deliveries).toHaveLength(2 * (lives + 1));
      await f.runFor(0, bw.stop({ graceMs: 0 }));
    }
    expect(new Set(deliveries.map(({ attempt }) => attempt))).toEqual(new Set([1]));
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(2);
  });

  test("a suspect is alone in its process, not only in its storage", async () => {
    const f = new Fixture(kind);
    const dying = await f.started((bw) =>
      bw.batch<string>({ ...LIMITS, handler: () => forever() }),
    );
    await f.run(dying.batch.add("a"));
    await f.advance(0);
    dying.process.kill();
    const hold = new Hold();
    const durable = recorder<string>(f.clock, () => hold.wait());
    const ephemeral = recorder<string>(f.clock, () => hold.wait());
    const { batch: other } = await f.started((bw) => {
      bw.batch<string>({ ...LIMITS, handler: durable.handler });
      return bw.batch<string>({
        ...LIMITS,
        name: "memory",
        persist: false,
        handler: ephemeral.handler,
      });
    });
    await f.run(other.add("1"));
    await f.advance(TAKEOVER_MS);
    expect([durable.deliveries.length, ephemeral.deliveries.length]).toEqual([0, 1]);
    await f.run(other.add("2"));
    await f.advance(1000);
    // Nothing new starts, so the suspect gets its turn.
    expect([durable.deliveries.length, ephemeral.deliveries.length]).toEqual([0, 1]);
    hold.release();
    await f.advance(1000);
    expect([durable.deliveries.length, ephemeral.deliveries.length]).toEqual([1, 1]);
    hold.release();
    await f.advance(1000);
    expect([durable.deliveries.length, ephemeral.deliveries.length]).toEqual([1, 2]);
    hold.releaseAll();
  });
});
