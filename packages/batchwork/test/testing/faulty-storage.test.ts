import { describe, expect, test } from "vitest";

import { memory } from "../../src/storage/memory/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  failNth,
  faultyStorage,
  type FaultSchedule,
  type StorageCall,
} from "../../src/testing/faulty-storage.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

const CHUNK = { group: "", count: 1, bytes: 3, payload: '"x"', dueInMs: 0 };

interface Setup {
  readonly clock: ManualClock;
  readonly inner: Storage;
  readonly storage: Storage;
  readonly queue: number;
  /** Items that were stored, whatever the caller was told. */
  readonly stored: () => Promise<number>;
}

/** Storage with one queue; faults begin after that. */
async function setUp(schedule: FaultSchedule): Promise<Setup> {
  const clock = new ManualClock();
  const inner = memory();
  await inner.open({ clock });
  const queue = (await inner.define([{ name: "q", notify: false }]))[0]?.id ?? 0;
  const stored = async (): Promise<number> => (await inner.counts(queue, null)).waiting;
  return { clock, inner, queue, stored, storage: faultyStorage(inner, { clock, schedule }) };
}

describe("a call that fails", () => {
  test("before it took effect has stored nothing", async () => {
    const { storage, queue, stored } = await setUp(failNth({ nth: 1, fail: "before" }));
    const added = storage.append([{ ...CHUNK, queue }]);
    await expect(added).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(await stored()).toBe(0);
  });

  test("because the write lock was taken says so and has stored nothing", async () => {
    const { storage, queue, stored } = await setUp(failNth({ nth: 1, fail: "busy" }));
    const added = storage.append([{ ...CHUNK, queue }]);
    await expect(added).rejects.toMatchObject({ code: "STORAGE_BUSY" });
    expect(await stored()).toBe(0);
  });

  test("after it took effect has stored everything, as when a commit's reply is lost", async () => {
    const { storage, queue, stored } = await setUp(failNth({ nth: 1, fail: "after" }));
    const added = storage.append([{ ...CHUNK, queue }]);
    await expect(added).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    expect(await stored()).toBe(1);
  });
});

describe("failNth", () => {
  test("fails the n-th call of any method, once", async () => {
    const { storage, queue } = await setUp(failNth({ nth: 2, fail: "before" }));
    await storage.enroll(1000);
    await expect(storage.counts(queue, null)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await expect(storage.counts(queue, null)).resolves.toMatchObject({ waiting: 0 });
  });

  test("fails the n-th call of one method and all later ones, for good", async () => {
    const fault = { nth: 2, method: "enroll", fail: "before", forGood: true } as const;
    const { storage, queue } = await setUp(failNth(fault));
    await storage.enroll(1000);
    await storage.counts(queue, null);
    for (let n = 0; n < 3; n++) {
      await expect(storage.enroll(1000)).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    }
    await expect(storage.counts(queue, null)).resolves.toMatchObject({ waiting: 0 });
  });
});

test("the schedule is told of every call: its method and its numbers", async () => {
  const calls: StorageCall[] = [];
  const { storage, queue } = await setUp((call) => {
    calls.push(call);
    return undefined;
  });
  await storage.enroll(1000);
  await storage.append([{ ...CHUNK, queue }]);
  await storage.enroll(1000);
  expect(calls).toEqual([
    { method: "enroll", call: 1, nth: 1 },
    { method: "append", call: 2, nth: 1 },
    { method: "enroll", call: 3, nth: 2 },
  ]);
});

test("a slow storage takes its time before and after the effect", async () => {
  const { storage, queue, stored, clock } = await setUp(() => {
    return { delayBeforeMs: 100, delayAfterMs: 50 };
  });
  let answered = false;
  const added = (async () => {
    await storage.append([{ ...CHUNK, queue }]);
    answered = true;
  })();
  await clock.advance(99);
  expect(await stored()).toBe(0);
  await clock.advance(1);
  expect(await stored()).toBe(1);
  await clock.advance(49);
  expect(answered).toBe(false);
  await clock.advance(1);
  await added;
  expect(answered).toBe(true);
});

describe("an append inside a transaction", () => {
  const whole = { kind: "done" } as const;

  /** Runs `run` in the transaction of a batch that was claimed, and counts what it added. */
  async function transact(schedule: FaultSchedule): Promise<{ error: unknown; added: number }> {
    const { storage, queue, stored, inner } = await setUp(schedule);
    await inner.append([{ ...CHUNK, queue }]);
    const incarnation = await inner.enroll(1000);
    const claim = { queue, maxSize: 1, maxBytes: Infinity, groupConcurrency: Infinity, limit: 1 };
    const request = { incarnation, settlements: [], claims: [claim], alone: false };
    const { claimed } = await inner.exchange(request);
    let error: unknown;
    await storage.transact({
      lease: claimed[0] as NonNullable<(typeof claimed)[0]>,
      run: (tx: unknown) => {
        try {
          storage.appendInside(tx, [{ ...CHUNK, queue }]);
        } catch (thrown) {
          error = thrown;
        }
      },
      outcome: () => whole,
    });
    return { error, added: await stored() };
  }

  test("throws at once, and has or has not happened", async () => {
    const inside = { nth: 1, method: "appendInside" } as const;
    const before = await transact(failNth({ ...inside, fail: "before" }));
    expect(before).toMatchObject({ error: { code: "STORAGE_FAILED" }, added: 0 });
    const after = await transact(failNth({ ...inside, fail: "after" }));
    expect(after).toMatchObject({ error: { code: "STORAGE_FAILED" }, added: 1 });
    const neither = await transact(() => undefined);
    expect(neither).toEqual({ error: undefined, added: 1 });
  });
});

test("every other method reaches the storage underneath", async () => {
  const methods: string[] = [];
  const { storage, queue } = await setUp(({ method }) => {
    methods.push(method);
    return undefined;
  });
  await storage.open({ clock: new ManualClock() });
  await storage.define([{ name: "q", notify: true }]);
  await storage.setPaused([queue], true);
  const incarnation = await storage.enroll(1000);
  expect(await storage.heartbeat(incarnation, 1000)).toBe(true);
  expect(await storage.reap(3)).toMatchObject({ incarnations: [], released: 0, dead: 0 });
  await storage.absolve(incarnation);
  expect(await storage.reconcile(incarnation, [{ batch: 9, token: 1 }])).toHaveLength(1);
  expect(await storage.progress({ batch: 9, token: 1 }, 50, "")).toBe(false);
  await storage.release([]);
  expect(await storage.makeDue(queue, null)).toBe(0);
  expect(await storage.outstanding({ queue, group: null, mark: 0, until: "finished" })).toBe(0);
  expect(await storage.running(queue)).toEqual([]);
  expect(await storage.deadLetters({ queue, group: null, after: 0, limit: 1 })).toEqual([]);
  expect(await storage.redrive(queue, "all")).toBe(0);
  expect(await storage.discard(queue, "all")).toBe(0);
  expect(await storage.takeUnnotified([queue], 1, 1000)).toEqual([]);
  await storage.acknowledgeDead([]);
  const within = storage.appendWithin({}, [{ ...CHUNK, queue }]);
  await expect(within).rejects.toMatchObject({ code: "TX_UNSUPPORTED" });
  await storage.retire(incarnation);
  expect(storage.changed()).toBe(false);
  expect(storage.durable).toBe(false);
  expect(storage.payload).toBe("text");
  await storage.close();
  expect(methods).toHaveLength(21);
});
