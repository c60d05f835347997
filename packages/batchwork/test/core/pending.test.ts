import { describe, expect, test } from "vitest";

import { resolveBatchOptions, type ResolvedBatchOptions } from "../../src/core/options.ts";
import {
  checkFits,
  fitsInto,
  minus,
  plus,
  QueueFullError,
  refusalOf,
  roomWithin,
} from "../../src/core/pending.ts";

const UNLIMITED = Number.POSITIVE_INFINITY;

function resolved(given: object): ResolvedBatchOptions {
  const options = { name: "orders", maxSize: 100, maxWaitMs: 10, handler: () => undefined };
  return resolveBatchOptions({ ...options, ...given }, { concurrency: 1 });
}

describe("maxPending", () => {
  test("is no limit when it is left out", () => {
    expect(resolved({}).maxPending).toBeUndefined();
  });

  test("limits items, bytes or both, and rejects unless told to wait", () => {
    expect(resolved({ maxPending: { items: 5 } }).maxPending).toEqual({
      items: 5,
      bytes: UNLIMITED,
      policy: "reject",
    });
    expect(resolved({ maxPending: { bytes: 7, policy: "wait" } }).maxPending).toEqual({
      items: UNLIMITED,
      bytes: 7,
      policy: "wait",
    });
  });

  test("is refused without a number, and with one that makes no sense", () => {
    expect(() => resolved({ maxPending: {} })).toThrow(
      'Option maxPending of batch "orders" needs items or bytes, or both: how much may be pending.',
    );
    expect(() => resolved({ maxPending: { items: 0 } })).toThrow(
      /Option maxPending\.items of batch "orders" must be a whole number from 1 to/,
    );
    expect(() => resolved({ maxPending: { bytes: 0.5 } })).toThrow(/maxPending\.bytes/);
    expect(() => resolved({ maxPending: { items: 1, policy: "drop" } })).toThrow(
      /Option maxPending\.policy of batch "orders" must be "reject" or "wait", not "drop"/,
    );
  });
});

describe("what is pending", () => {
  test("leaves room, and never less than none", () => {
    const limit = { items: 10, bytes: 100 };
    expect(roomWithin(limit, { items: 3, bytes: 40 })).toEqual({ items: 7, bytes: 60 });
    expect(roomWithin(limit, { items: 30, bytes: 400 })).toEqual({ items: 0, bytes: 0 });
    const unlimited = { items: UNLIMITED, bytes: 5 };
    expect(roomWithin(unlimited, { items: 1, bytes: 1 })).toEqual({ items: UNLIMITED, bytes: 4 });
  });

  test("fits when both its items and its bytes do", () => {
    const room = { items: 2, bytes: 10 };
    expect(fitsInto(room, room)).toBe(true);
    expect(fitsInto(room, { items: 3, bytes: 1 })).toBe(false);
    expect(fitsInto(room, { items: 1, bytes: 11 })).toBe(false);
    expect(minus(plus(room, room), room)).toEqual(room);
  });

  test("is told of in numbers when it is too much", () => {
    const error = new QueueFullError(
      { items: 10, bytes: 50 },
      { items: 4, bytes: 20 },
      { items: 3, bytes: 30 },
    );
    expect(error.code).toBe("QUEUE_FULL");
    const items = new QueueFullError(error.limit, error.room, { items: 5, bytes: 30 });
    expect(items).toMatchObject({ field: "maxPending.items", value: 5 });
    expect(items.message).toMatch(/^maxPending allows 10 items .* room for 4 more, not for 5, /);
    expect(error.message).toBe(
      "maxPending allows 50 bytes that wait or run; there is room for 20 more, not for 30, and " +
        'nothing was stored. Add again when some are done, use policy "wait", or raise ' +
        "maxPending.bytes.",
    );
  });

  test("is refused for good when it never fits", () => {
    const limit = { items: 10, bytes: 50 };
    checkFits(limit, { items: 10, bytes: 50 });
    expect(() => checkFits(limit, { items: 11, bytes: 1 })).toThrow(
      "One call of 11 items never fits into maxPending.items (10): split it, or raise the limit.",
    );
    expect(() => checkFits(limit, { items: 1, bytes: 51 })).toThrow(/51 bytes .* \(50\)/);
  });

  test("is refused for now or for good, as the limit is by then", () => {
    const room = { items: 0, bytes: 0 };
    const need = { items: 5, bytes: 5 };
    expect(refusalOf({ items: 5, bytes: 5 }, room, need)).toBeInstanceOf(QueueFullError);
    expect(refusalOf({ items: 4, bytes: 5 }, room, need)).toMatchObject({
      code: "CALL_TOO_LARGE",
      field: "items",
      value: 5,
    });
  });
});
