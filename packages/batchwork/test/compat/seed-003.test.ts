/**
 * The page on Convex's Workpool, snippet by snippet, for Node. What differs: a pool is defined with
 * its handlers and they are called by name, where the page hands over references of functions; and
 * there are no mutations, so what the page calls `runMutation` and `runAction` is `run`.
 */
import { describe, expect, test } from "vitest";

import { homes, World } from "../runtime/pools/world.ts";

describe.each(homes())("the page's snippets on $name storage:", (home) => {
  test("important work does not wait for work that is less important", async () => {
    const world = await World.on(home);
    const noted: string[] = [];
    const { promise: allCitiesAnswer, resolve: answer } = Promise.withResolvers<void>();
    let scraping = 0;
    let mostScraping = 0;
    const { pool } = await world.started((bw) => ({
      // const emailPool = new Workpool(components.emailWorkpool, { maxParallelism: 5 });
      emailPool: bw.pool({
        name: "emailWorkpool",
        maxParallelism: 5,
        handlers: {
          sendEmailVerification: async ({ userId }: { userId: string }) => {
            noted.push(`mail to ${userId}`);
          },
        },
      }),
      // const scrapePool = new Workpool(components.scrapeWorkpool, { maxParallelism: 1 });
      scrapePool: bw.pool({
        name: "scrapeWorkpool",
        maxParallelism: 1,
        handlers: {
          scrapeWeather: async ({ city }: { city: string }) => {
            mostScraping = Math.max(mostScraping, ++scraping);
            await allCitiesAnswer;
            scraping--;
            noted.push(`weather of ${city}`);
          },
        },
      }),
    }));
    const { emailPool, scrapePool } = pool;

    const allCities = ["Oslo", "Lima", "Kyoto"];
    const downloadLatestWeather = async (): Promise<string[]> => {
      const ids: string[] = [];
      for (const city of allCities) {
        ids.push(await scrapePool.enqueue("scrapeWeather", { city }));
      }
      return ids;
    };
    const signUp = async (userId: string): Promise<string> =>
      emailPool.enqueue("sendEmailVerification", { userId });

    const scraped = await world.run(downloadLatestWeather());
    await world.until(() => scraping === 1);
    await world.run(emailPool.result(await world.run(signUp("u1"))));
    expect(noted).toEqual(["mail to u1"]);
    answer();
    for (const id of scraped) await world.run(scrapePool.result(id));
    expect(mostScraping).toBe(1);
    expect(noted.slice(1)).toEqual(allCities.map((city) => `weather of ${city}`));
  });

  test("a counter in a pool of one never conflicts", async () => {
    const world = await World.on(home);
    let stored = 0;
    const { pool } = await world.started((bw) => {
      const counterPool = bw.pool({
        name: "counterWorkpool",
        maxParallelism: 1,
        handlers: {
          increment: async () => {
            const read = stored;
            await world.clock.settle();
            stored = read + 1;
            return stored;
          },
        },
      });
      const actions = bw.pool({
        name: "actions",
        maxParallelism: 20,
        handlers: {
          doSomethingAndCount: async (_: number, ctx) => {
            // poolCtx has the same interface as ctx, but it runs everything in the pool.
            const poolCtx = counterPool.ctx(ctx);
            const newValue = await poolCtx.run("increment", undefined);
            // You can schedule things and they will run in the pool.
            await poolCtx.scheduler.runAfter(100, "increment", undefined);
            return newValue;
          },
        },
      });
      return { counterPool, actions };
    });
    const many = Array.from({ length: 10 }, (_, n) => n);
    const ids = await world.run(pool.actions.enqueueBatch("doSomethingAndCount", many));
    for (const id of ids) expect((await world.run(pool.actions.result(id))).kind).toBe("success");
    await world.until(async () => (await world.run(pool.counterPool.stats())).keys === 0);
    expect(stored).toBe(20);
  });

  test("the interface on a pool", async () => {
    const world = await World.on(home);
    const ran: string[] = [];
    const { pool } = await world.started((bw) =>
      bw.pool({
        name: "emailWorkpool",
        maxParallelism: 10,
        // More options available, such as:
        timeout: 10 * 60 * 1000,
        ttl: 7 * 24 * 60 * 60 * 1000,
        handlers: {
          bar: async (args: { n: number }) => {
            ran.push(`bar ${args.n}`);
            return args.n + 1;
          },
        },
      }),
    );
    // Schedule functions to run in the background.
    const id = await world.run(pool.enqueue("bar", { n: 1 }));
    // Wait for it to be done and get the return value.
    const result = await world.run(pool.result(id)); // the page's pollResult
    expect(result).toEqual({ kind: "success", returnValue: 2 });
    // Is it done yet?
    expect(await world.run(pool.status(id))).toBe("finished");

    // A context that uses the pool to run and schedule.
    const poolCtx = pool.ctx({ user: "ann" });
    expect(poolCtx.user).toBe("ann");
    expect(await world.run(poolCtx.run("bar", { n: 2 }))).toBe(3);
    const after = await world.run(poolCtx.scheduler.runAfter(100, "bar", { n: 3 }));
    const timestamp = world.clock.wallMs() + 3_600_000;
    const at = await world.run(poolCtx.scheduler.runAt(timestamp, "bar", { n: 4 }));
    await world.run(poolCtx.scheduler.cancel(at));
    expect(await world.run(pool.result(after))).toEqual({ kind: "success", returnValue: 4 });
    expect(await world.run(pool.result(at))).toEqual({ kind: "canceled" });
    expect(ran).toEqual(["bar 1", "bar 2", "bar 3"]);
  });
});
