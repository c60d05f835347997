/** Pings and batches of a worker inside SQLite transactions. */
import { describe, expect, test } from "vitest";

import type { Work } from "../../src/index.ts";
import { DRIVERS, Fixture, numbers } from "./fixture.ts";
import { Jobs, jobsWorker } from "./worker-fixture.ts";

describe.each(DRIVERS)("a worker on a SQLite file, opened with %s", (driver) => {
  test("a ping in a transaction of the user's counts when that commits, and only then", async () => {
    const f = new Fixture(driver);
    const jobs = new Jobs(f);
    const { looks, define } = jobsWorker(f, jobs);
    const { batch: worker } = await f.started(define);
    await f.advance(100);
    const { database } = jobs;
    looks.length = 0;
    database.exec("BEGIN IMMEDIATE");
    jobs.insert(1);
    worker.pingSync({ tx: database });
    database.exec("ROLLBACK");
    await f.advance(10_000);
    expect(looks).toEqual([]);
    database.exec("BEGIN IMMEDIATE");
    jobs.insert(2);
    worker.pingSync({ tx: database });
    database.exec("COMMIT");
    await f.advance(0);
    expect(jobs.done).toEqual([2]);
    database.exec("BEGIN IMMEDIATE");
    jobs.insert(3);
    await f.run(worker.ping({ tx: database }));
    database.exec("COMMIT");
    await f.advance(50);
    expect(jobs.done).toEqual([2, 3]);
  });

  test("a ping in ctx.tx of a batch commits with it", async () => {
    const f = new Fixture(driver);
    const jobs = new Jobs(f);
    const { define } = jobsWorker(f, jobs);
    const { batch: defined } = await f.started((bw) => {
      const worker = define(bw);
      const batch = bw.batch<number>({
        name: "orders",
        maxSize: 1,
        maxWaitMs: 0,
        handler: async (ctx) => {
          await ctx.tx((tx) => {
            tx.prepare("INSERT INTO jobs VALUES (?)").run(ctx.batch[0]);
            worker.pingSync({ tx });
          });
        },
      });
      return { worker, batch };
    });
    await f.advance(100);
    await f.run(defined.batch.add(5));
    await f.advance(10);
    expect(jobs.done).toEqual([5]);
  });

  test("what process writes, adds and pings commits with the loop, or not at all", async () => {
    const f = new Fixture(driver);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(3));
    const added: number[] = [];
    let failures = 2;
    const { define } = jobsWorker(f, jobs, {
      batchSize: 1,
      retries: { baseDelay: 10 },
      process: (tx, batch) => {
        jobs.finish(tx, batch);
        made().addSync(batch[0] as number, { tx });
        if (batch[0] === 1 && failures-- > 0) throw new Error("after the writes");
      },
    });
    const { batch: next } = await f.started((bw) => {
      define(bw);
      return bw.batch<number>({
        name: "next",
        maxSize: 1,
        maxWaitMs: 0,
        handler: ({ batch }) => {
          added.push(...batch);
        },
      });
    });
    const made = (): typeof next => next;
    await f.advance(5000);
    expect(jobs.done.toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
    expect(added.toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
  });

  test("functions that return promises are rolled back, and the worker says so", async () => {
    const f = new Fixture(driver);
    const jobs = new Jobs(f);
    jobs.insert(1);
    const { batch: worker } = await f.started((bw) =>
      bw.worker<number[]>({
        name: "async",
        query: async (): Promise<Work<number[]>> => ({ kind: "work", batch: [1] }),
        process: async () => undefined,
      }),
    );
    await f.advance(100);
    const { lastError, status } = await f.run(worker.status());
    expect([status, lastError?.code]).toEqual(["waiting", "TX_ASYNC"]);
  });
});
