import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Fifo } from "../../../src/storage/memory/fifo.ts";
import { WaitingChunks, type Chunk } from "../../../src/storage/memory/waiting.ts";

function chunk(id: number, count: number, dueAt: number): Chunk {
  return {
    id,
    count,
    bytes: 10 * count,
    payload: "",
    dueAt,
    keys: null,
    dedupKeys: null,
    kept: null,
    taken: 0,
    takenBytes: 0,
  };
}

describe("Fifo", () => {
  test("what goes in first comes out first, however long the line gets", () => {
    const line = new Fifo<number>();
    let next = 0;
    let expected = 0;
    for (let round = 0; round < 300; round++) {
      for (let n = 0; n < 5; n++) line.push(next++);
      for (let n = 0; n < 4; n++) {
        expect(line.first).toBe(expected++);
        line.shift();
      }
      expect([line.size, line.last]).toEqual([next - expected, next - 1]);
    }
    while (line.size > 0) {
      expect(line.first).toBe(expected++);
      line.shift();
    }
    expect(expected).toBe(next);
  });

  test("an empty line has no ends and gives nothing up", () => {
    const line = new Fifo<number>();
    line.shift();
    line.pop();
    line.push(7);
    line.push(8);
    line.pop();
    expect([line.first, line.last, line.size]).toEqual([7, 7, 1]);
    line.shift();
    expect([line.first, line.last, line.size]).toEqual([undefined, undefined, 0]);
  });
});

describe("WaitingChunks", () => {
  test("they know their items, bytes, first chunk and earliest time, whatever is taken", () => {
    const step = fc.record({
      add: fc.boolean(),
      count: fc.integer({ min: 1, max: 5 }),
      due: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const waiting = new WaitingChunks();
        const model: Chunk[] = [];
        for (const [id, { add, count, due }] of steps.entries()) {
          const first = model[0];
          if (add) {
            const fresh = chunk(id, count, due);
            waiting.push(fresh);
            model.push(fresh);
          } else if (first !== undefined) {
            const taken = Math.min(count, first.count - first.taken);
            waiting.take(taken, 10 * taken);
            if (first.taken === first.count) model.shift();
          }
          const left = model.map((each) => each.count - each.taken);
          const items = left.reduce((sum, each) => sum + each, 0);
          expect([waiting.items, waiting.bytes, waiting.first]).toEqual([
            items,
            10 * items,
            model[0],
          ]);
          expect(waiting.dueAt).toBe(Math.min(...model.map(({ dueAt }) => dueAt)));
        }
      }),
    );
  });
});
