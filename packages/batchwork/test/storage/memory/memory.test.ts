import { describe, expect, test } from "vitest";

import { hasCode } from "../../../src/core/errors.ts";
import { memory, type MemoryStorage, type MemoryTx } from "../../../src/storage/memory/index.ts";
import type { ClaimedBatch, Exchange } from "../../../src/storage/storage.ts";
import { ManualClock } from "../../../src/testing/manual-clock.ts";

interface Opened {
  readonly storage: MemoryStorage;
  readonly clock: ManualClock;
  readonly queue: number;
  readonly incarnation: number;
}

async function opened(storage: MemoryStorage): Promise<Opened> {
  const clock = new ManualClock();
  await storage.open({ clock });
  const [info] = await storage.define([{ name: "orders", notify: false }]);
  return { storage, clock, queue: info?.id ?? 0, incarnation: await storage.enroll(15_000) };
}

function claim({ queue, incarnation }: Opened): Exchange {
  const caps = { maxSize: 500, maxBytes: Infinity, groupConcurrency: Infinity };
  return { incarnation, settlements: [], claims: [{ queue, ...caps, limit: 5 }], alone: false };
}

async function claimed(on: Opened, items: readonly unknown[]): Promise<ClaimedBatch> {
  const { storage, queue } = on;
  const payload = storage.payload === "text" ? JSON.stringify(items).slice(1, -1) : items;
  await storage.append([{ queue, group: "", count: items.length, bytes: 0, payload, dueInMs: 0 }]);
  return (await storage.exchange(claim(on))).claimed[0] as ClaimedBatch;
}

describe("memory storage", () => {
  test("it does not pretend to be durable", () => {
    expect(memory().durable).toBe(false);
  });

  test("it keeps text unless references are asked for", () => {
    expect(memory().payload).toBe("text");
    expect(memory({ payload: "reference" }).payload).toBe("reference");
  });

  test("references come back as the very values, and a whole chunk as the very list", async () => {
    const on = await opened(memory({ payload: "reference" }));
    const items = [{ a: 1 }, () => "even a function"];
    const { payloads } = await claimed(on, items);
    expect(payloads[0]).toBe(items);
    expect(payloads[0]?.[1]).toBe(items[1]);
  });

  test("it must be opened first, and not used after it was closed", async () => {
    const storage = memory();
    const notOpen = (error: unknown): boolean => hasCode(error, "STORAGE_FAILED");
    await expect(storage.enroll(1000)).rejects.toSatisfy(notOpen);
    await storage.open({ clock: new ManualClock() });
    await expect(storage.enroll(1000)).resolves.toBe(1);
    await storage.close();
    await expect(storage.enroll(1000)).rejects.toSatisfy(notOpen);
  });

  test("an unknown queue is refused, and nothing of the call is kept", async () => {
    const { storage, queue } = await opened(memory());
    const chunk = { queue, group: "", count: 1, bytes: 1, payload: "1", dueInMs: 0 };
    await expect(storage.append([chunk, { ...chunk, queue: 99 }])).rejects.toThrow(
      /No queue .* 99/u,
    );
    expect((await storage.counts(queue, null)).waiting).toBe(0);
  });

  test("a view has the same data, and its life is its own", async () => {
    const on = await opened(memory());
    const view = on.storage.view();
    await view.open({ clock: on.clock });
    const batch = await claimed(on, ["a"]);
    await on.storage.close();
    expect((await view.running(on.queue)).map(({ batch: id }) => id)).toEqual([batch.batch]);
  });

  test("a look that finds nothing is no news for other views", async () => {
    const on = await opened(memory());
    const view = on.storage.view();
    await view.open({ clock: on.clock });
    await on.storage.exchange(claim(on));
    await on.storage.heartbeat(on.incarnation, 15_000);
    await on.storage.reap(3);
    expect(view.changed()).toBe(false);
  });

  test("a batch is remembered as settled for a while, not for ever", async () => {
    const on = await opened(memory());
    const done = { outcome: { kind: "done" } } as const;
    const first = await claimed(on, ["first"]);
    const settle = async ({ batch, token }: ClaimedBatch): Promise<readonly string[]> =>
      (await on.storage.exchange({ ...claim(on), settlements: [{ batch, token, ...done }] }))
        .settled;
    expect(await settle(first)).toEqual(["settled"]);
    for (let n = 0; n < 1023; n++) await settle(await claimed(on, [n]));
    expect(await settle(first)).toEqual(["settled"]);
    await settle(await claimed(on, ["one more"]));
    expect(await settle(first)).toEqual(["lost"]);
  });
});

describe("the transaction of memory storage", () => {
  test("effects happen after the commit, in order", async () => {
    const on = await opened(memory());
    const { batch, token } = await claimed(on, ["a"]);
    const effects: string[] = [];
    await on.storage.transact({
      lease: { batch, token },
      run: (tx: MemoryTx) => {
        tx.onCommit(() => void effects.push("one"));
        tx.onCommit(() => void effects.push("two"));
        effects.push("inside");
      },
      outcome: () => ({ kind: "done" }),
    });
    expect(effects).toEqual(["inside", "one", "two"]);
  });

  test("effects of a transaction that was rolled back never happen", async () => {
    const on = await opened(memory());
    const { batch, token } = await claimed(on, ["a"]);
    const effects: string[] = [];
    const failed = on.storage.transact({
      lease: { batch, token },
      run: (tx: MemoryTx) => {
        tx.onCommit(() => void effects.push("never"));
        throw new RangeError("no");
      },
      outcome: () => ({ kind: "done" }),
    });
    await expect(failed).rejects.toThrow(RangeError);
    expect(effects).toEqual([]);
  });

  test("no effect can be added once it is over", async () => {
    const on = await opened(memory());
    const { batch, token } = await claimed(on, ["a"]);
    const kept: MemoryTx[] = [];
    await on.storage.transact({
      lease: { batch, token },
      run: (tx: MemoryTx) => kept.push(tx),
      outcome: () => ({ kind: "done" }),
    });
    const late = (): void => kept[0]?.onCommit(() => undefined);
    expect(late).toThrow(/has ended/u);
  });

  test("a transaction of another memory storage is refused", async () => {
    const [on, other] = [await opened(memory()), await opened(memory())];
    const { batch, token } = await claimed(on, ["a"]);
    const chunk = { queue: other.queue, group: "", count: 1, bytes: 1, payload: "1", dueInMs: 0 };
    const failed = on.storage.transact({
      lease: { batch, token },
      run: (tx: MemoryTx) => other.storage.appendInside(tx, [chunk]),
      outcome: () => ({ kind: "done" }),
    });
    await expect(failed).rejects.toSatisfy((error) => hasCode(error, "TX_MISMATCH"));
  });

  test("what is no transaction at all is not supported", async () => {
    const { storage, queue } = await opened(memory());
    const chunk = { queue, group: "", count: 1, bytes: 1, payload: "1", dueInMs: 0 };
    const outside = (): unknown => storage.appendInside({}, [chunk]);
    expect(outside).toThrow(expect.objectContaining({ code: "TX_UNSUPPORTED" }));
  });

  test("a reserved id is the chunk's, and nobody else gets it", async () => {
    const { storage, queue } = await opened(memory({ payload: "reference" }));
    const chunk = { queue, group: "", count: 1, bytes: 0, payload: ["a"], dueInMs: 0 };
    const id = storage.reserve();
    const [other] = await storage.append([chunk]);
    const [reserved] = await storage.append([{ ...chunk, id }]);
    expect(other?.id).toBe(id + 1);
    expect(reserved?.id).toBe(id);
    expect(storage.reserve()).toBe(id + 2);
  });
});
