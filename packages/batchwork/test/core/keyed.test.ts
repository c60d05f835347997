import { describe, expect, test } from "vitest";

import {
  appendKeyed,
  type HeldKey,
  type KeyedAppend,
  type KeyedItem,
} from "../../src/core/keyed.ts";

/** A storage that is three lists. */
class Store {
  readonly chunks: { readonly group: string; readonly values: readonly unknown[] }[] = [];
  readonly held = new Map<string, HeldKey>();
  readonly asked: string[] = [];
  room = { items: 2, bytes: 100 };

  append(append: KeyedAppend): ReturnType<typeof appendKeyed> {
    return appendKeyed(append, {
      now: 7,
      find: (queue, key) => {
        this.asked.push(`${queue}/${key}`);
        return this.held.get(`${queue}/${key}`);
      },
      room: (queue) => {
        this.asked.push(`room of ${queue}`);
        return this.room;
      },
      append: ({ group }, items) =>
        this.chunks.push({ group, values: items.map(({ value }) => value) }),
      hold: ({ queue }, key, held) => void this.held.set(`${queue}/${key}`, held),
    });
  }
}

function request(
  items: readonly (readonly [call: number, chunk: number, key: string | null, value: string])[],
): KeyedAppend {
  const header = { queue: 1, dueInMs: 0, keyTtlMs: 1000 };
  return {
    chunks: [
      { ...header, group: "a" },
      { ...header, group: "b" },
    ],
    items: items.map(([call, chunk, key, value]): KeyedItem => {
      return { call, chunk, key, digest: value, value, bytes: value.length };
    }),
  };
}

describe("appending with keys", () => {
  test("what is new is stored, each at its place", () => {
    const store = new Store();
    const answers = store.append(
      request([
        [0, 0, "x", "1"],
        [0, 1, "y", "2"],
        [1, 0, null, "3"],
      ]),
    );
    expect(answers).toEqual([
      {
        kind: "stored",
        at: 7,
        places: [
          { chunk: 1, index: 0, duplicate: false },
          { chunk: 2, index: 0, duplicate: false },
        ],
      },
      { kind: "stored", at: 7, places: [{ chunk: 1, index: 1, duplicate: false }] },
    ]);
    expect(store.chunks).toEqual([
      { group: "a", values: ["1", "3"] },
      { group: "b", values: ["2"] },
    ]);
    expect([...store.held]).toEqual([
      ["1/x", { chunk: 1, index: 0, digest: "1" }],
      ["1/y", { chunk: 2, index: 0, digest: "2" }],
    ]);
    expect(store.asked).toEqual(["1/x", "1/y"]);
  });

  test("a duplicate answers with the place of what holds its key, and leaves no gap", () => {
    const store = new Store();
    store.append(request([[0, 0, "x", "1"]]));
    const answers = store.append(
      request([
        [0, 1, "x", "1"],
        [0, 1, "y", "2"],
        [1, 0, "x", "1"],
      ]),
    );
    expect(answers).toEqual([
      {
        kind: "stored",
        at: 7,
        places: [
          { chunk: 1, index: 0, duplicate: true },
          { chunk: 2, index: 0, duplicate: false },
        ],
      },
      { kind: "stored", at: 7, places: [{ chunk: 1, index: 0, duplicate: true }] },
    ]);
    expect(store.chunks.slice(1)).toEqual([{ group: "b", values: ["2"] }]);
  });

  test("other content under a key refuses its call, and only that", () => {
    const store = new Store();
    store.append(request([[0, 0, "x", "1"]]));
    const answers = store.append(
      request([
        [0, 0, "y", "2"],
        [0, 0, "x", "other"],
        [1, 0, "z", "3"],
      ]),
    );
    expect(answers).toEqual([
      { kind: "conflict", key: "x" },
      { kind: "stored", at: 7, places: [{ chunk: 2, index: 0, duplicate: false }] },
    ]);
    expect(store.chunks.slice(1)).toEqual([{ group: "a", values: ["3"] }]);
    expect([...store.held.keys()]).toEqual(["1/x", "1/z"]);
  });

  test("nothing to append is nothing", () => {
    const store = new Store();
    expect(store.append({ chunks: [], items: [] })).toEqual([]);
    expect(store.chunks).toEqual([]);
  });
});

describe("limits of keyed appends", () => {
  const limit = { items: 2, bytes: 100 };

  function limited(
    items: readonly (readonly [call: number, chunk: number, key: string | null, value: string])[],
  ): KeyedAppend {
    const { chunks, ...rest } = request(items);
    return { ...rest, chunks: chunks.map((chunk) => ({ ...chunk, limit })) };
  }

  test("are kept call by call, and later calls see what earlier ones took", () => {
    const store = new Store();
    const answers = store.append(
      limited([
        [0, 0, "a", "1"],
        [1, 0, "b", "1"],
        [1, 1, null, "1"],
        [2, 1, "c", "1"],
        [3, 0, "d", "1"],
      ]),
    );
    expect(answers.map(({ kind }) => kind)).toEqual(["stored", "full", "stored", "full"]);
    expect(answers[1]).toEqual({
      kind: "full",
      room: { items: 1, bytes: 99 },
      need: { items: 2, bytes: 2 },
    });
    expect(store.asked.filter((asked) => asked.startsWith("room"))).toEqual(["room of 1"]);
    expect(store.chunks.map(({ values }) => values.length)).toEqual([1, 1]);
  });

  test("let duplicates through when there is no room at all", () => {
    const store = new Store();
    store.append(limited([[0, 0, "a", "1"]]));
    store.room = { items: 0, bytes: 0 };
    const [held, full] = store.append(
      limited([
        [0, 0, "a", "1"],
        [1, 0, "b", "1"],
      ]),
    );
    expect(held).toMatchObject({ kind: "stored", places: [{ duplicate: true }] });
    expect(full?.kind).toBe("full");
  });

  test("are not asked for where there are none", () => {
    const store = new Store();
    store.append(request([[0, 0, "a", "1"]]));
    expect(store.asked).toEqual(["1/a"]);
  });
});
