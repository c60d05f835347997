/** Notes what a handler is given, and says how that differs from what a test expects. */
import { AssertionError } from "node:assert";
import { inspect, isDeepStrictEqual } from "node:util";

import type { BatchContext } from "../runtime/context.ts";

/** One call of a handler. */
export interface RecordedDelivery<T> {
  readonly batchId: string;
  readonly items: readonly T[];
  readonly groupKey: string | undefined;
  readonly attempt: number;
}

/** A handler that notes each of its calls. */
export interface DeliveryRecorder<T, R = unknown> {
  /** What it was given so far, call by call. */
  readonly deliveries: readonly RecordedDelivery<T>[];
  readonly handler: (ctx: BatchContext<T>) => Promise<R>;
}

/** What {@link expectDelivered} compares with. At least one of the two is required. */
export interface ExpectedDeliveries<T> {
  /** The items, in any order. */
  readonly items?: readonly T[];
  /**
   * How often each of `items` is delivered: `"once"`, or `"at-least-once"`, as after a crash or a
   * failed attempt. Default `"once"`.
   */
  readonly times?: "once" | "at-least-once";
  /** The items of each delivery, in order: exactly these deliveries and no other. */
  readonly batches?: readonly (readonly T[])[];
}

/**
 * Wraps a handler so that its calls are noted, before it does anything.
 *
 * @param handler default: one that does nothing
 */
export function recordDeliveries<T, R = unknown>(
  handler?: (ctx: BatchContext<T>) => R | Promise<R>,
): DeliveryRecorder<T, R | undefined> {
  const deliveries: RecordedDelivery<T>[] = [];
  return {
    deliveries,
    handler: async (ctx) => {
      const { id, groupKey, attempt } = ctx;
      deliveries.push({ batchId: id, items: [...ctx.batch], groupKey, attempt });
      return handler?.(ctx);
    },
  };
}

/**
 * Says nothing when what was delivered is what was expected. Items are compared by content.
 *
 * @throws `AssertionError` of `node:assert`, whose message lists what is missing, what came too
 * often, what nobody expected, and every delivery
 */
export function expectDelivered<T>(
  recorder: Pick<DeliveryRecorder<T>, "deliveries">,
  expected: ExpectedDeliveries<T>,
): void {
  const { deliveries } = recorder;
  const { items, times = "once", batches } = expected;
  if (items === undefined && batches === undefined) {
    throw new TypeError("expectDelivered: give items, or batches, to compare with.");
  }
  if (items !== undefined) {
    const wrong = compareItems(deliveries, items, times);
    if (wrong.length > 0) fail(wrong, deliveries, items);
  }
  const actual = deliveries.map((delivery) => delivery.items);
  if (batches !== undefined && !isDeepStrictEqual(actual, batches)) {
    fail(compareBatches(actual, batches), deliveries, batches);
  }
}

function compareItems<T>(
  deliveries: readonly RecordedDelivery<T>[],
  items: readonly T[],
  times: "once" | "at-least-once",
): string[] {
  const wanted = new Tallies<T>();
  for (const item of items) wanted.count(item, "");
  const found = new Tallies<T>();
  for (const { batchId, items: given } of deliveries) {
    for (const item of given) found.count(item, batchId);
  }
  const wrong: string[] = [];
  for (const { item, batchIds } of wanted.all) {
    const got = found.of(item)?.batchIds ?? [];
    const count = batchIds.length;
    if (got.length < count) wrong.push(`  missing: ${show(item)}${often(got.length, count)}`);
    else if (got.length > count && times === "once") {
      const where = [...new Set(got)].join(", ");
      wrong.push(`  too often: ${show(item)}${often(got.length, count)}, in batch ${where}`);
    }
  }
  for (const { item, batchIds } of found.all) {
    if (wanted.of(item) !== undefined) continue;
    wrong.push(`  not expected: ${show(item)}, in batch ${[...new Set(batchIds)].join(", ")}`);
  }
  return wrong;
}

function compareBatches(actual: readonly unknown[], expected: readonly unknown[]): string[] {
  const wrong: string[] = [];
  for (let n = 0; n < Math.max(actual.length, expected.length); n++) {
    if (n < actual.length && n < expected.length && isDeepStrictEqual(actual[n], expected[n])) {
      continue;
    }
    const wanted = n < expected.length ? show(expected[n]) : "none";
    const got = n < actual.length ? show(actual[n]) : "none";
    wrong.push(`  delivery ${n + 1}: expected ${wanted}, got ${got}`);
  }
  return wrong;
}

interface Tally<T> {
  readonly item: T;
  /** One for each time. */
  readonly batchIds: string[];
}

/** How often each different item occurs, and where. */
class Tallies<T> {
  readonly all: Tally<T>[] = [];
  /** By what they look like, which is less than what they are. */
  readonly #alike = new Map<string, Tally<T>[]>();

  of(item: T): Tally<T> | undefined {
    return this.#alike.get(show(item))?.find((one) => isDeepStrictEqual(one.item, item));
  }

  count(item: T, batchId: string): void {
    let tally = this.of(item);
    if (tally === undefined) {
      tally = { item, batchIds: [] };
      this.all.push(tally);
      const text = show(item);
      this.#alike.set(text, [...(this.#alike.get(text) ?? []), tally]);
    }
    tally.batchIds.push(batchId);
  }
}

function often(got: number, wanted: number): string {
  return got === 0 && wanted === 1 ? "" : ` (${got} times instead of ${wanted})`;
}

function fail(
  wrong: readonly string[],
  deliveries: readonly RecordedDelivery<unknown>[],
  expected: unknown,
): never {
  const lines = deliveries.map(
    ({ batchId, attempt, items }) => `  batch ${batchId}, attempt ${attempt}: ${show(items)}`,
  );
  const message = [
    "expectDelivered: what was delivered is not what was expected.",
    ...wrong,
    deliveries.length === 0 ? "Nothing was delivered." : "Delivered:",
    ...lines,
  ].join("\n");
  const actual = deliveries.map(({ items }) => items);
  throw new AssertionError({ message, actual, expected, operator: "expectDelivered" });
}

function show(value: unknown): string {
  return inspect(value, { depth: 6, breakLength: Infinity, compact: true, maxArrayLength: 20 });
}
