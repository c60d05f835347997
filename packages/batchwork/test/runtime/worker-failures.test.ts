/** What fails in a worker does not hold up the rest: tried again, taken apart, set aside. */
import { describe, expect, test } from "vitest";

import type { Work } from "../../src/index.ts";
import { Fixture, numbers, STORAGES } from "./fixture.ts";
import { die, Jobs, jobsWorker } from "./worker-fixture.ts";

const LONG_MS = 40_000;

/** Throws for any batch with one of these. */
function refusing(...bad: readonly number[]): (batch: readonly number[]) => void {
  return (batch) => {
    const found = batch.find((id) => bad.includes(id));
    if (found !== undefined) throw new Error(`not ${found}`);
  };
}

describe.each(STORAGES)("what fails in a worker on %s", (kind) => {
  test("a batch that always throws does not block the queue: its bad item dies alone", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(40));
    const { calls, define } = jobsWorker(f, jobs, { batchSize: 16, work: refusing(5) });
    const { batch: worker } = await f.started(define);
    await f.advance(500);
    expect(jobs.done.toSorted((a, b) => a - b)).toEqual(numbers(40).filter((n) => n !== 5));
    expect(await f.run(worker.status())).toMatchObject({ failing: 1, waitsFor: "backoff" });
    await f.advance(LONG_MS);
    const letters = await f.run(worker.deadLetters.list());
    expect(letters).toMatchObject([{ item: 5, attempts: 4, error: { message: "not 5" } }]);
    expect(calls.filter(({ batch }) => batch.length === 1 && batch[0] === 5)).toHaveLength(4);
    expect(await f.run(worker.status())).toMatchObject({ status: "idle", failing: 0 });
    jobs.insert(100);
    await f.run(worker.ping());
    await f.advance(5);
    expect(jobs.done.at(-1)).toBe(100);
  });

  test("an item alone is tried again after a wait that doubles", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(5);
    let left = 3;
    const { calls, define } = jobsWorker(f, jobs, {
      work: () => {
        if (left-- > 0) throw new Error("not yet");
      },
    });
    const { batch: worker } = await f.started(define);
    await f.advance(LONG_MS);
    expect(jobs.done).toEqual([5]);
    const gaps = calls.slice(1).map(({ at }, n) => at - (calls[n]?.at ?? 0));
    expect(gaps.map((gap) => Math.round(gap / 1000))).toEqual([1, 2, 4]);
    expect(await f.run(worker.deadLetters.list())).toEqual([]);
    expect((await f.run(worker.stats())).failures).toBe(3);
  });

  test("what is set aside is set aside in the transaction of its dead letter", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(10));
    const aside: unknown[] = [];
    let refuse = true;
    const { define } = jobsWorker(f, jobs, {
      work: refusing(3),
      retries: { max: 0 },
      setAside: (tx, items, error) => {
        if (refuse) throw new Error("not now");
        jobs.remove(tx, items);
        aside.push([items, error.message]);
      },
    });
    const { batch: worker } = await f.started(define);
    await f.advance(500);
    expect(await f.run(worker.deadLetters.list())).toEqual([]);
    expect(jobs.waiting).toContain(3);
    refuse = false;
    await f.advance(60_000);
    expect(aside).toEqual([[[3], "not 3"]]);
    expect(jobs.waiting).toEqual([]);
    expect(await f.run(worker.deadLetters.list())).toMatchObject([{ item: 3, attempts: 1 }]);
  });

  test("query is told what waits or is dead, and what it returns of that is left out", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(6));
    const told: (readonly number[])[] = [];
    const { define } = jobsWorker(f, jobs, {
      retries: { max: 1, baseDelay: 1000 },
      work: refusing(0, 1, 2),
      query: (tx, { except }): Work<readonly number[]> => {
        told.push(except);
        const batch = jobs.take(tx, 100).filter((id) => !except.includes(id));
        return batch.length === 0 ? { kind: "idle", cooldownMs: 0 } : { kind: "work", batch };
      },
    });
    const { batch: worker } = await f.started(define);
    await f.advance(LONG_MS);
    expect(jobs.done.toSorted((a, b) => a - b)).toEqual([3, 4, 5]);
    expect(told[0]).toEqual([]);
    expect(told.at(-1)?.toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
    expect(await f.run(worker.deadLetters.list())).toHaveLength(3);
  });

  test("a batch that is not an array is set aside as a whole once it is out of attempts", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(1, 2);
    const { batch: worker } = await f.started((bw) =>
      bw.worker({
        name: "whole",
        retries: { max: 2 },
        query: (tx): Work<{ readonly ids: readonly number[] }> => {
          const ids = jobs.take(tx, 2);
          return ids.length === 0
            ? { kind: "idle", cooldownMs: 0 }
            : { kind: "work", batch: { ids } };
        },
        process: (tx, { ids }) => {
          refusing(2)(ids);
          jobs.finish(tx, ids);
        },
        setAside: (tx, batches) => {
          for (const { ids } of batches) jobs.remove(tx, ids);
        },
      }),
    );
    await f.advance(LONG_MS);
    const letters = await f.run(worker.deadLetters.list());
    expect(letters).toMatchObject([{ item: { ids: [1, 2] }, attempts: 3 }]);
    jobs.insert(7);
    await f.run(worker.ping());
    await f.advance(5);
    expect(jobs.done).toEqual([7]);
  });

  test("redriven letters are processed once more by themselves; discarded ones are gone", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(1, 2, 3);
    let bad = [1, 2, 3];
    const { define } = jobsWorker(f, jobs, {
      retries: { max: 0 },
      work: (batch) => refusing(...bad)(batch),
      setAside: (tx, items) => jobs.remove(tx, items),
    });
    const { batch: worker } = await f.started(define);
    await f.advance(1000);
    const letters = await f.run(worker.deadLetters.list());
    expect(letters.map(({ item }) => item)).toEqual([1, 2, 3]);
    bad = [2];
    expect(await f.run(worker.deadLetters.discard([letters[2]?.id as number]))).toBe(1);
    expect(await f.run(worker.deadLetters.redrive("all"))).toBe(2);
    await f.advance(1000);
    expect(jobs.done).toEqual([1]);
    expect(await f.run(worker.deadLetters.list())).toMatchObject([{ item: 2 }]);
  });

  test("a query that throws is tried again, for ever: the worker is never left for dead", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    let broken = true;
    const { define } = jobsWorker(f, jobs, {
      query: (tx): Work<readonly number[]> => {
        if (broken) throw new Error("no such table");
        const batch = jobs.take(tx, 10);
        const idle = { kind: "idle", cooldownMs: 0, timeoutMs: 60_000 } as const;
        return batch.length === 0 ? idle : { kind: "work", batch };
      },
    });
    const { batch: worker, process } = await f.started(define);
    await f.advance(LONG_MS);
    expect(await f.run(worker.status())).toMatchObject({
      status: "waiting",
      waitsFor: "backoff",
      lastError: { message: "no such table" },
    });
    expect(process.logged("warn")).toContain("A worker could not look for work; trying again.");
    broken = false;
    jobs.insert(1);
    await f.advance(31_000);
    expect(jobs.done).toEqual([1]);
    broken = true;
    await f.advance(61_000);
    broken = false;
    jobs.insert(2);
    await f.run(worker.ping());
    await f.advance(31_000);
    expect(jobs.done).toEqual([1, 2]);
    expect(await f.run(worker.status())).toMatchObject({ attempt: 0, lastError: undefined });
  });

  test("what kills its process is found out, and is a dead letter; the rest gets through", async () => {
    const f = new Fixture(kind);
    const jobs = new Jobs(f);
    jobs.insert(...numbers(8));
    const lives: Awaited<ReturnType<typeof f.started<unknown>>>["process"][] = [];
    const { calls, define } = jobsWorker(f, jobs, {
      batchSize: 8,
      work: (batch) => {
        if (!batch.includes(6)) return;
        const process = lives.at(-1);
        if (process !== undefined) die(process);
        throw new Error("never heard of");
      },
    });
    let worker: ReturnType<typeof define> | undefined;
    for (let life = 0; life < 12 && calls.length < 100; life++) {
      const started = f.process();
      lives.push(started);
      worker = define(started.bw);
      await f.run(started.bw.start());
      await f.advance(20_000);
      if (!started.killed) break;
    }
    expect(jobs.done.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 7]);
    const letters = await f.run((worker as NonNullable<typeof worker>).deadLetters.list());
    expect(letters).toMatchObject([{ item: 6, error: { code: "CRASHED" } }]);
    expect(lives.filter(({ killed }) => killed).length).toBeLessThanOrEqual(8);
  });
});
