import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Heap, type HeapNode } from "../../../src/storage/memory/heap.ts";

function node(at: number, order: number): HeapNode {
  return { at, order, index: -1 };
}

function drained(heap: Heap<HeapNode>): HeapNode[] {
  const nodes: HeapNode[] = [];
  for (let next = heap.pop(); next !== undefined; next = heap.pop()) nodes.push(next);
  return nodes;
}

describe("Heap", () => {
  test("an empty heap has no first member", () => {
    const heap = new Heap();
    expect([heap.peek(), heap.pop(), heap.size]).toEqual([undefined, undefined, 0]);
  });

  test("members come out by time, and in their order at the same time", () => {
    const heap = new Heap<HeapNode>();
    const given = [node(3, 1), node(1, 2), node(1, 1), node(2, 0), node(1, 3)];
    for (const each of given) heap.push(each);
    const places = drained(heap).map(({ at, order }) => [at, order]);
    expect(places).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 0],
      [3, 1],
    ]);
  });

  test("a member that is in no heap may be removed", () => {
    const heap = new Heap<HeapNode>();
    const [inside, outside] = [node(1, 1), node(0, 0)];
    heap.push(inside);
    heap.remove(outside);
    expect(heap.peek()).toBe(inside);
  });

  test("whatever moves or leaves, the first is always the smallest", () => {
    const change = fc.record({
      kind: fc.constantFrom("push", "move", "remove", "pop"),
      pick: fc.nat(),
      at: fc.nat({ max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const heap = new Heap<HeapNode>();
        const model: HeapNode[] = [];
        const smallest = (): HeapNode | undefined =>
          model.toSorted((a, b) => a.at - b.at || a.order - b.order)[0];
        for (const [order, { kind, pick, at }] of changes.entries()) {
          const member = model[pick % Math.max(1, model.length)];
          if (kind === "push") {
            const fresh = node(at, order);
            heap.push(fresh);
            model.push(fresh);
          } else if (kind === "move" && member !== undefined) {
            member.at = at;
            heap.update(member);
          } else if (kind === "remove" && member !== undefined) {
            heap.remove(member);
            model.splice(model.indexOf(member), 1);
          } else if (kind === "pop") {
            const popped = heap.pop();
            if (popped !== undefined) model.splice(model.indexOf(popped), 1);
          }
          expect(heap.peek()).toBe(smallest());
          expect(heap.size).toBe(model.length);
        }
      }),
    );
  });
});
