/** A worker's loop: who runs it, when it looks, and what it costs while there is nothing to do. */
import { describe, expect, test } from "vitest";

import type { Batchwork, WorkerOptions } from "../../src/index.ts";
import { Fixture, numbers, outcomeOf, STORAGES } from "./fixture.ts";
import { die, Jobs, jobsWorker } from "./worker-fixture.ts";

const IDLE_MS = 10_000;

describe.each(STORAGES)("a worker on %s", (kind) => {
  test("what was there before it is processed without a ping, and the rest by pings", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(25));
    const { calls, define } = jobsWorker(f, jobs);
    const { batch: worker } = await f.started(define);
    await f.advance(IDLE_MS);
    expect(jobs.done).toEqual(numbers(25));
    expect(calls.map(({ batch }) => batch.length)).toEqual([10, 10, 5]);
    jobs.insert(100, 101);
    await f.run(worker.ping());
    await f.advance(5);
    expect(jobs.done.slice(25)).toEqual([100, 101]);
  });

  test("one loop runs over all processes, and each batch is processed once", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    const { define } = jobsWorker(f, jobs, { batchSize: 1 });
    const workers = [];
    for (let n = 0; n < 3; n++) workers.push((await f.started(define)).batch);
    for (const id of numbers(30)) {
      jobs.insert(id);
      await f.run((workers[id % 3] as (typeof workers)[number]).ping());
      if (id % 7 === 0) await f.advance(100);
    }
    await f.advance(IDLE_MS);
    expect(jobs.done).toEqual(numbers(30));
  });

  test("a burst of pings within the debounce is one batch", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    const { calls, define } = jobsWorker(f, jobs, { debounceMs: 200 });
    const { batch: worker } = await f.started(define);
    await f.advance(IDLE_MS);
    for (const id of numbers(8)) {
      jobs.insert(id);
      await f.run(worker.ping());
      await f.advance(10);
    }
    expect(calls).toEqual([]);
    await f.advance(200);
    expect(calls.map(({ batch }) => batch)).toEqual([numbers(8)]);
    expect((calls[0]?.at ?? 0) - IDLE_MS).toBeGreaterThanOrEqual(200);
  });

  test("what process asks for is waited for, pings or not, and a kick ends the wait", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(1);
    const { calls, define } = jobsWorker(f, jobs, {
      process: (tx, batch) => {
        calls.push({ batch, at: f.clock.monotonicMs() });
        jobs.finish(tx, batch);
        return { debounceMs: 60_000 };
      },
    });
    const { batch: worker } = await f.started(define);
    await f.advance(100);
    jobs.insert(2);
    await f.run(worker.ping());
    await f.advance(50_000);
    expect(jobs.done).toEqual([1]);
    expect(await f.run(worker.status())).toMatchObject({ status: "waiting", waitsFor: "debounce" });
    await f.run(worker.kick());
    await f.advance(5);
    expect(jobs.done).toEqual([1, 2]);
    jobs.insert(3);
    await f.advance(59_000);
    expect(jobs.done).toEqual([1, 2]);
    await f.advance(2000);
    expect(jobs.done).toEqual([1, 2, 3]);
  });

  test("a trickle keeps it warm: it looks, and nobody writes that it is awake", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    const idle = { cooldownMs: 500, pollIntervalMs: 100 };
    const { looks, define } = jobsWorker(f, jobs, { idle });
    const { batch: worker } = await f.started(define);
    await f.advance(IDLE_MS);
    jobs.insert(0);
    await f.run(worker.ping());
    await f.advance(10);
    const { generation } = await f.run(worker.status());
    for (const id of [1, 2, 3, 4, 5]) {
      await f.advance(300);
      jobs.insert(id);
      await f.run(worker.ping());
      await f.advance(5);
      expect(jobs.done).toContain(id);
    }
    expect(await f.run(worker.status())).toMatchObject({ status: "running", generation });
    await f.advance(1000);
    expect(await f.run(worker.status())).toMatchObject({ status: "idle", waitsFor: "ping" });
    const before = looks.length;
    await f.advance(60_000);
    expect(looks).toHaveLength(before);
  });

  test("an idle worker starts no transactions, and looks for loops once a tick", async () => {
    const f = new Fixture(kind);
    const { define } = jobsWorker(f, new Jobs(f));
    const { process } = await f.started(define, { tickIntervalMs: 1000 });
    await f.advance(IDLE_MS);
    const [transactions, claims] = [process.count("loops.transact"), process.count("loops.claim")];
    await f.advance(60_000);
    expect(process.count("loops.transact")).toBe(transactions);
    expect(process.count("loops.claim") - claims).toBeLessThanOrEqual(80);
  });

  test("an idle worker looks again after the timeout that query named, ping or not", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    const idle = { cooldownMs: 0, timeoutMs: 30_000 };
    const { define } = jobsWorker(f, jobs, { idle });
    const { batch: worker } = await f.started(define);
    await f.advance(100);
    jobs.insert(1);
    expect(await f.run(worker.status())).toMatchObject({ status: "idle", waitsFor: "timeout" });
    await f.advance(29_000);
    expect(jobs.done).toEqual([]);
    await f.advance(1100);
    expect(jobs.done).toEqual([1]);
    jobs.insert(2);
    await f.run(worker.ping());
    await f.advance(5);
    expect(jobs.done).toEqual([1, 2]);
  });

  test("an owner that dies is replaced within one lease", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    let owner: Awaited<ReturnType<typeof f.started<unknown>>>["process"] | undefined;
    const { define } = jobsWorker(f, jobs, {
      work: ([first]) => {
        if (first !== 13 || owner === undefined) return;
        const dying = owner;
        owner = undefined;
        die(dying);
        throw new Error("never heard of");
      },
    });
    const first = await f.started(define);
    owner = first.process;
    await f.advance(100);
    const second = await f.started(define);
    jobs.insert(13, 14);
    await f.run(second.batch.ping());
    await f.advance(200);
    const dead = owner === undefined;
    await f.advance(15_000);
    expect(dead || jobs.done.length === 2).toBe(true);
    expect(jobs.done).toEqual([13, 14]);
  });

  test("a stopped worker ignores pings, in every process and after a restart", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    const { define } = jobsWorker(f, jobs);
    const one = await f.started(define);
    await f.run(one.batch.stop());
    jobs.insert(1);
    await f.run(one.batch.ping());
    await f.run(one.batch.kick());
    await f.advance(IDLE_MS);
    await f.run(one.bw.stop());
    const two = await f.started(define);
    await f.run(two.batch.ping());
    await f.advance(IDLE_MS);
    expect(jobs.done).toEqual([]);
    expect(await f.run(two.batch.status())).toMatchObject({ status: "stopped", waitsFor: "start" });
    await f.run(two.batch.start());
    await f.advance(5);
    expect(jobs.done).toEqual([1]);
  });

  test("status and stats say where it is and what it has done", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(12));
    const { define } = jobsWorker(f, jobs);
    const { batch: worker } = await f.started(define);
    await f.advance(100);
    expect(await f.run(worker.stats())).toEqual({ batches: 2, items: 12, failures: 0 });
    expect(await f.run(worker.status())).toMatchObject({
      name: "jobs",
      partition: undefined,
      status: "idle",
      generation: 1,
      nextRunAt: undefined,
      attempt: 0,
      lastError: undefined,
      failing: 0,
    });
  });

  test("partitions run side by side, each with a loop and a state of its own", async () => {
    const f = new Fixture(kind);
    const looks: (string | undefined)[] = [];
    const { batch: worker } = await f.started((bw: Batchwork) =>
      bw.worker({
        name: "regions",
        partitions: ["eu", "us"],
        query: (_tx, { partition }) => {
          looks.push(partition);
          return { kind: "idle", cooldownMs: 0 };
        },
        process: () => undefined,
      }),
    );
    await f.advance(100);
    expect(new Set(looks)).toEqual(new Set(["eu", "us"]));
    looks.length = 0;
    await f.run(worker.stop("us"));
    await f.run(worker.ping());
    await f.advance(100);
    expect(new Set(looks)).toEqual(new Set(["eu"]));
    const statuses = await f.run(worker.statuses());
    expect(statuses.map(({ partition, status }) => [partition, status])).toEqual([
      ["eu", "idle"],
      ["us", "stopped"],
    ]);
    expect(await outcomeOf(f.run(worker.ping({ partition: "asia" })))).toBe("OPTION_INVALID");
  });

  test("no more partitions run at a time than concurrency says", async () => {
    const f = new Fixture(kind);
    const looks = new Map<string | undefined, number>();
    await f.started((bw) =>
      bw.worker({
        name: "regions",
        partitions: ["a", "b", "c", "d"],
        concurrency: 1,
        query: (_tx, { partition }) => {
          looks.set(partition, (looks.get(partition) ?? 0) + 1);
          return { kind: "idle", cooldownMs: 1000, pollIntervalMs: 100 };
        },
        process: () => undefined,
      }),
    );
    await f.advance(500);
    expect([...looks.keys()]).toEqual(["a"]);
    await f.advance(5000);
    expect([...looks.keys()]).toEqual(["a", "b", "c", "d"]);
  });

  test("processes that define it differently warn once each, and rewrite nobody", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    const one = await f.started(jobsWorker(f, jobs, { debounceMs: 10 }).define);
    await f.advance(100);
    const two = await f.started(jobsWorker(f, jobs, { debounceMs: 500 }).define);
    for (const id of numbers(4)) {
      jobs.insert(id);
      await f.run((id % 2 === 0 ? one : two).batch.ping());
      await f.advance(2000);
    }
    const warnings = [one, two].map(({ process }) => {
      return process.logged("warn").filter((message) => message.includes("other options")).length;
    });
    expect(Math.max(...warnings)).toBe(1);
    expect(warnings[1]).toBe(1);
    expect(jobs.done).toEqual(numbers(4));
  });

  test("stop of the engine waits for the batch under way and gives the loop back", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(100));
    let stopping: Promise<void> | undefined;
    const { define } = jobsWorker(f, jobs, {
      batchSize: 1,
      work: ([id]) => {
        if (id === 20) stopping ??= one.bw.stop();
      },
    });
    const one = f.process();
    define(one.bw);
    await f.run(one.bw.start());
    await f.advance(100);
    await f.run(stopping as Promise<void>);
    expect(jobs.done).toEqual(numbers(21));
    const two = await f.started(define);
    await f.advance(100);
    expect(jobs.done).toEqual(numbers(100));
    expect((await f.run(two.batch.stats())).items).toBe(100);
  });

  test("a name is taken once, and options are checked", async () => {
    const f = new Fixture(kind);
    const { bw } = f.process();
    const { define } = jobsWorker(f, new Jobs(f));
    define(bw);
    expect(() => define(bw)).toThrow(expect.objectContaining({ code: "NAME_TAKEN" }));
    const given = { query: () => ({ kind: "idle" }) as const, process: () => undefined };
    for (const [field, options] of [
      ["name", {}],
      ["debounceMs", { name: "a", debounceMs: -1 }],
      ["monitorLagMs", { name: "a", monitorLagMs: 1 }],
      ["partitions", { name: "a", partitions: ["x", "x"] }],
      ["retries.baseDelay", { name: "a", retries: { baseDelay: 5, maxDelay: 4 } }],
    ] as const) {
      const all = { ...given, ...options } as unknown as WorkerOptions<unknown>;
      expect(() => bw.worker(all)).toThrow(
        expect.objectContaining({ code: "OPTION_INVALID", field }),
      );
    }
  });
});
