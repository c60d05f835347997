import { expect, test } from "vitest";

import { fromAsyncIterable } from "../../src/runtime/iterator-source.ts";
import { Fixture, numbers, outcomeOf } from "./fixture.ts";
import { itemsOfPages, pageRecorder, statusOf } from "./iterator-fixture.ts";

/** Lines of a file, as far as anybody can tell; notes what becomes of it. */
class Lines {
  readonly opened: number[] = [];
  closed = 0;
  read = 0;
  readonly #count: number;

  constructor(count: number) {
    this.#count = count;
  }

  readonly from = async function* from(this: Lines, position: number): AsyncGenerator<number> {
    this.opened.push(position);
    try {
      for (let n = position; n < this.#count; n++) {
        this.read++;
        yield n;
      }
    } finally {
      this.closed++;
    }
  };
}

test("anything that can be iterated over is handed over page by page, and closed", async () => {
  const f = new Fixture("sqlite");
  const lines = new Lines(10);
  const { pages, processBatch } = pageRecorder(f);
  const { batch: iterator } = await f.started((bw) =>
    bw.iterator<number>({
      name: "lines",
      batchSize: 4,
      source: fromAsyncIterable(() => lines.from(0)),
      processBatch,
    }),
  );
  await f.run(iterator.start("job"));
  await f.advance(0);
  expect(pages.map(({ items }) => items)).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
  ]);
  expect(lines).toMatchObject({ opened: [0], closed: 1, read: 10 });
  expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", cursor: "10" });
});

test("a page that fails is handed over again without reading anything twice", async () => {
  const f = new Fixture("sqlite");
  const lines = new Lines(10);
  const { pages, processBatch } = pageRecorder(f, ({ items, attempt }) => {
    if (items.includes(5) && attempt < 3) throw new Error("not yet");
  });
  const { batch: iterator } = await f.started((bw) =>
    bw.iterator<number>({
      name: "lines",
      batchSize: 5,
      onFailure: "bisect",
      source: fromAsyncIterable(() => lines.from(0)),
      processBatch,
    }),
  );
  await f.run(iterator.start("job"));
  await f.advance(60_000);
  expect(await statusOf(f, iterator)).toMatchObject({ status: "completed", processedCount: 10 });
  expect(new Set(itemsOfPages(pages))).toEqual(new Set(numbers(10)));
  expect(lines.read).toBe(10);
});

test.each([true, false])(
  "a job that goes on elsewhere passes over what was processed; seekable: %s",
  async (seekable) => {
    const f = new Fixture("sqlite");
    const lines = new Lines(10);
    const { pages, processBatch } = pageRecorder(f);
    const open = (position: number): AsyncGenerator<number> => lines.from(seekable ? position : 0);
    const define = {
      name: "lines",
      batchSize: 4,
      delayBetweenBatchesMs: 1000,
      source: fromAsyncIterable(open, { seekable }),
      processBatch,
    };
    const { process, batch: iterator } = await f.started((bw) => bw.iterator<number>(define));
    await f.run(iterator.start("job"));
    await f.advance(0);
    process.kill();
    await f.started((bw) => bw.iterator<number>(define));
    await f.advance(60_000);
    expect(itemsOfPages(pages)).toEqual(numbers(10));
    expect(lines.opened.at(-1)).toBe(seekable ? 8 : 0);
  },
);

test("an iterable that need not be awaited will do, and nothing else", async () => {
  const f = new Fixture("memory");
  const { pages, processBatch } = pageRecorder(f);
  const { batch: iterator } = await f.started((bw) =>
    bw.iterator<number>({
      name: "list",
      batchSize: 2,
      source: fromAsyncIterable(() => [1, 2, 3]),
      processBatch,
    }),
  );
  await f.run(iterator.start("job"));
  await f.advance(0);
  expect(pages.map(({ items }) => items)).toEqual([[1, 2], [3]]);
  const refused = Promise.resolve().then(() => fromAsyncIterable([1] as never));
  expect(await outcomeOf(refused)).toBe("OPTION_INVALID");
});
