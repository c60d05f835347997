import { describe, expect, test } from "vitest";

import { BatchworkError } from "../../src/core/errors.ts";
import {
  resolveBatchOptions,
  resolveEngineOptions,
  type BatchSettings,
  type EngineSettings,
  type ResolvedBatchOptions,
  type ResolvedEngineOptions,
} from "../../src/core/options.ts";

function nothing(): void {
  // A function where one is expected.
}

const STORAGE = { open: nothing, close: nothing, append: nothing, exchange: nothing };
const BATCH = { name: "orders", maxSize: 500, maxWaitMs: 10_000, handler: nothing };

function engine(given: object = {}): ResolvedEngineOptions {
  return resolveEngineOptions({ storage: STORAGE, ...given } as EngineSettings);
}

function batch(given: object = {}): ResolvedBatchOptions {
  return resolveBatchOptions({ ...BATCH, ...given }, { concurrency: 7 });
}

function refusal(run: () => unknown): BatchworkError {
  try {
    run();
  } catch (error) {
    if (error instanceof BatchworkError) return error;
    throw error;
  }
  throw new Error("the options were accepted");
}

describe("the options of an engine", () => {
  test("that are not given have the documented defaults", () => {
    expect(engine()).toEqual({
      concurrency: 5,
      leaseMs: 15_000,
      heartbeatMs: 5000,
      tickIntervalMs: 1000,
      pollMs: 50,
      maxCrashes: 3,
    });
  });

  test("are taken as given", () => {
    const given = {
      concurrency: 1,
      leaseMs: 100,
      heartbeatMs: 50,
      tickIntervalMs: 10,
      pollMs: 1,
      maxCrashes: 1,
    };
    expect(engine({ ...given, logger: console, clock: undefined })).toEqual(given);
  });

  test("cannot be changed afterwards", () => {
    expect(Object.isFrozen(engine())).toBe(true);
  });

  test("beat three times in a lease of any length", () => {
    expect(engine({ leaseMs: 3000 }).heartbeatMs).toBe(1000);
    expect(engine({ leaseMs: 100 }).heartbeatMs).toBe(33);
  });

  test("refuse a heartbeat that a lease could run out between", () => {
    const error = refusal(() => engine({ leaseMs: 1000, heartbeatMs: 501 }));
    expect(error).toMatchObject({ code: "OPTION_INVALID", field: "heartbeatMs", value: 501 });
    expect(error.message).toBe(
      "Option heartbeatMs of the engine must be at most half of leaseMs (1000 ms), not 501.",
    );
    expect(engine({ leaseMs: 1000, heartbeatMs: 500 }).heartbeatMs).toBe(500);
  });

  test("need a storage, a whole logger and a whole clock", () => {
    const none = refusal(() => resolveEngineOptions({}));
    expect(none.field).toBe("storage");
    expect(none.message).toMatch(/^Option storage of the engine is required: an object with/);
    const path = refusal(() => engine({ storage: "work.db" }));
    expect(path.message).toMatch(/pass sqlite\(\{ path \}\) or memory\(\), not "work\.db"\.$/);
    expect(refusal(() => engine({ storage: { ...STORAGE, close: 1 } })).field).toBe("storage");
    expect(refusal(() => engine({ logger: { warn: nothing } })).message).toMatch(
      /logger of the engine must be an object with the methods debug, info, warn, error/,
    );
    expect(refusal(() => engine({ clock: Date })).field).toBe("clock");
    expect(refusal(() => engine({ clock: null })).message).toMatch(/, not null\.$/);
  });
});

describe("the options of a batch", () => {
  test("that are left out have the documented defaults", () => {
    expect(batch()).toEqual({
      name: "orders",
      maxSize: 500,
      maxWaitMs: 10_000,
      maxBytes: Number.POSITIVE_INFINITY,
      groupConcurrency: Number.POSITIVE_INFINITY,
      concurrency: 7,
      retries: {
        max: 0,
        strategy: "exponential",
        baseDelay: 1000,
        maxDelay: 3_600_000,
        jitter: 0,
      },
      onFailure: "retry",
      timeout: undefined,
      maxPending: undefined,
      removeOnComplete: undefined,
      removeOnFail: undefined,
      version: 1,
      persist: true,
      keyTtlMs: 86_400_000,
      resultTtlMs: 86_400_000,
      tags: [],
      deadLetter: { enabled: false },
    });
  });

  test("are taken as given, at the ends of their ranges", () => {
    const given = {
      maxSize: 1,
      maxWaitMs: 0,
      maxBytes: 1,
      groupConcurrency: 1000,
      concurrency: 1,
      retries: { max: 10_000, strategy: "fixed", baseDelay: 0, maxDelay: 0, jitter: 1 },
      onFailure: "bisect",
      timeout: 1,
      persist: false,
      keyTtlMs: 0,
      resultTtlMs: 0,
      tags: ["a"],
      deadLetter: { enabled: true },
    };
    const unset = { maxPending: undefined, removeOnComplete: undefined, removeOnFail: undefined };
    const rest = { name: "orders", version: 1, ...unset };
    expect(batch({ ...given, groupBy: nothing })).toEqual({ ...rest, ...given });
    const [keyTtlMs, resultTtlMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    const maxBytes = 2 ** 53 - 1;
    const other = { maxSize: 100_000, maxWaitMs: 31_536_000_000, maxBytes, keyTtlMs, resultTtlMs };
    expect(batch(other)).toMatchObject(other);
  });

  test("that are undefined count as not given", () => {
    const absent = { maxBytes: undefined, retries: undefined, timeout: undefined, tags: undefined };
    expect(batch(absent)).toEqual(batch());
    expect(batch({ retries: { max: undefined } })).toEqual(batch());
  });

  test("cannot be changed afterwards, neither by us nor by the caller", () => {
    const tags = ["a"];
    const resolved = batch({ tags });
    tags.push("b");
    expect(resolved.tags).toEqual(["a"]);
    const { retries, deadLetter } = resolved;
    const all = [resolved, resolved.tags, retries, deadLetter];
    expect(all.map((one) => Object.isFrozen(one))).toEqual([true, true, true, true]);
  });

  test("let a group run one batch at a time, unless told otherwise", () => {
    expect(batch({ groupBy: nothing }).groupConcurrency).toBe(1);
    const unlimited = { groupBy: nothing, groupConcurrency: Number.POSITIVE_INFINITY };
    expect(batch(unlimited).groupConcurrency).toBe(Number.POSITIVE_INFINITY);
  });

  test("refuse groupConcurrency without groupBy", () => {
    const error = refusal(() => batch({ groupConcurrency: 2 }));
    expect(error).toMatchObject({ field: "groupConcurrency", value: 2 });
    expect(error.message).toBe(
      'Option groupConcurrency of batch "orders" needs groupBy: without groups, use concurrency.',
    );
  });

  test("stretch the default maxDelay to a longer baseDelay", () => {
    expect(batch({ retries: { baseDelay: 7_200_000 } }).retries.maxDelay).toBe(7_200_000);
  });

  test("refuse a baseDelay above maxDelay", () => {
    const error = refusal(() => batch({ retries: { baseDelay: 501, maxDelay: 500 } }));
    expect(error).toMatchObject({ field: "retries.baseDelay", value: 501 });
    expect(error.message).toMatch(/must be at most retries\.maxDelay \(500 ms\), not 501\.$/);
  });

  test("may name onDead without enabling it, and the other way round", () => {
    expect(batch({ deadLetter: { onDead: nothing } }).deadLetter).toEqual({ enabled: false });
    expect(batch({ deadLetter: { enabled: true } }).deadLetter).toEqual({ enabled: true });
  });
});

const SIZE = "a whole number from 1 to 100000 (items)";
const WAIT = "a whole number from 0 to 31536000000 (ms)";
const NAME = "a string of 1 to 128 characters, each a letter (A-Z, a-z), a digit or one of _ . : -";
const TAGS = "an array of at most 64 strings of 1 to 128 characters";

/** Every kind of wrong value, once, with the message in full. */
const REFUSED: [given: object, field: string, value: unknown, problem: string][] = [
  [{ maxSize: 0 }, "maxSize", 0, `must be ${SIZE}, not 0`],
  [{ maxSize: 100_001 }, "maxSize", 100_001, `must be ${SIZE}, not 100001`],
  [{ maxSize: 1.5 }, "maxSize", 1.5, `must be ${SIZE}, not 1.5`],
  [{ maxSize: "500" }, "maxSize", "500", `must be ${SIZE}, not "500"`],
  [{ maxSize: 5n }, "maxSize", 5n, `must be ${SIZE}, not 5n`],
  [{ maxSize: Number.NaN }, "maxSize", Number.NaN, `must be ${SIZE}, not NaN`],
  [{ maxSize: Infinity }, "maxSize", Infinity, `must be ${SIZE}, not Infinity`],
  [{ maxSize: undefined }, "maxSize", undefined, `is required: ${SIZE}`],
  [{ maxWaitMs: -1 }, "maxWaitMs", -1, `must be ${WAIT}, not -1`],
  [{ maxWaitMs: null }, "maxWaitMs", null, `must be ${WAIT}, not null`],
  [
    { maxBytes: 0 },
    "maxBytes",
    0,
    "must be a whole number from 1 to 9007199254740991 (bytes), or Infinity for no limit, not 0",
  ],
  [{ timeout: 0 }, "timeout", 0, "must be a whole number from 1 to 31536000000 (ms), not 0"],
  [
    { concurrency: 0.5 },
    "concurrency",
    0.5,
    "must be a whole number from 1 to 1000 (handlers), not 0.5",
  ],
  [
    { groupBy: nothing, groupConcurrency: 0 },
    "groupConcurrency",
    0,
    "must be a whole number from 1 to 1000 (batches of a group), or Infinity for no limit, not 0",
  ],
  [{ handler: undefined }, "handler", undefined, "is required: a function"],
  [{ handler: "run" }, "handler", "run", 'must be a function, not "run"'],
  [{ groupBy: "tenantId" }, "groupBy", "tenantId", 'must be a function, not "tenantId"'],
  [{ onFailure: "die" }, "onFailure", "die", 'must be "retry" or "bisect", not "die"'],
  [{ persist: 1 }, "persist", 1, "must be true or false, not 1"],
  [{ persist: nothing }, "persist", nothing, "must be true or false, not a function"],
  [{ tags: "a" }, "tags", "a", `must be ${TAGS}, not "a"`],
  [{ tags: [1] }, "tags", [1], `must be ${TAGS}, not an array like this`],
  [{ tags: [""] }, "tags", [""], `must be ${TAGS}, not an array like this`],
  [{ retries: 3 }, "retries", 3, "must be an object, not 3"],
  [{ retries: null }, "retries", null, "must be an object, not null"],
  [
    { retries: { max: -1 } },
    "retries.max",
    -1,
    "must be a whole number from 0 to 10000 (retries), not -1",
  ],
  [
    { retries: { strategy: "linear" } },
    "retries.strategy",
    "linear",
    'must be "exponential" or "fixed", not "linear"',
  ],
  [{ retries: { jitter: 1.1 } }, "retries.jitter", 1.1, "must be a number from 0 to 1, not 1.1"],
  [
    { retries: { jitter: "0.5" } },
    "retries.jitter",
    "0.5",
    'must be a number from 0 to 1, not "0.5"',
  ],
  [
    { retries: { jitter: {} } },
    "retries.jitter",
    {},
    "must be a number from 0 to 1, not an object like this",
  ],
  [
    { deadLetter: { enabled: true, onDead: true } },
    "deadLetter.onDead",
    true,
    "must be a function, not true",
  ],
];

describe("a wrong value", () => {
  test.each(REFUSED)(
    "in %o is refused by name, value and range",
    (given, field, value, problem) => {
      const error = refusal(() => batch(given));
      expect(error.code).toBe("OPTION_INVALID");
      expect(error.field).toBe(field);
      expect(error.value).toEqual(value);
      expect(error.message).toBe(`Option ${field} of batch "orders" ${problem}.`);
    },
  );

  test("too long to print is cut", () => {
    const { message } = refusal(() => batch({ onFailure: "x".repeat(5000) }));
    expect(message).toContain(`not "${"x".repeat(80)}…"`);
  });

  test("of the name is refused without naming the batch", () => {
    for (const name of ["", 5, undefined, "a b", "x".repeat(129)]) {
      const error = refusal(() => batch({ name }));
      expect(error.field).toBe("name");
      expect(error.value).toBe(name);
      expect(error.message).toContain(NAME);
    }
    expect(refusal(() => batch({ name: "" })).message).toMatch(/^Option name of a batch must be/);
  });

  test("in place of all options is refused", () => {
    for (const options of [undefined, null, "orders", [BATCH]]) {
      const error = refusal(() =>
        resolveBatchOptions(options as unknown as BatchSettings, engine()),
      );
      expect(error).toMatchObject({ code: "OPTION_INVALID", field: "options", value: options });
      expect(error.message).toMatch(/^The options of a batch must be an object, not /);
    }
  });
});

describe("an unknown option", () => {
  const nearby: [given: object, field: string, meant: string][] = [
    [{ maxsize: 5 }, "maxsize", "maxSize"],
    [{ maxWait: 5 }, "maxWait", "maxWaitMs"],
    [{ retry: {} }, "retry", "retries"],
    [{ timeOut: 5 }, "timeOut", "timeout"],
    [{ deadletters: {} }, "deadletters", "deadLetter"],
  ];

  test.each(nearby)("in %o is refused with the name that was meant", (given, field, meant) => {
    const error = refusal(() => batch(given));
    expect(error).toMatchObject({ code: "OPTION_INVALID", field });
    expect(error.message).toBe(`Unknown option ${field} of batch "orders": did you mean ${meant}?`);
  });

  test("inside another option is refused with its whole path", () => {
    const error = refusal(() => batch({ retries: { attempts: 3 } }));
    expect(error).toMatchObject({ field: "retries.attempts", value: 3 });
    const near = refusal(() => batch({ retries: { basedelay: 3 } }));
    expect(near.message).toMatch(/Unknown option retries\.basedelay .*: did you mean baseDelay\?$/);
  });

  test("that resembles none is refused all the same, even when undefined", () => {
    const error = refusal(() => batch({ collateBy: undefined }));
    expect(error).toMatchObject({ field: "collateBy", value: undefined });
    expect(error.message).toBe('Unknown option collateBy of batch "orders": leave it out.');
    expect(refusal(() => engine({ pollInterval: 1 })).field).toBe("pollInterval");
  });

  test("of an engine is refused with the name that was meant", () => {
    expect(refusal(() => engine({ lease: 5 })).message).toMatch(/did you mean leaseMs\?$/);
    expect(refusal(() => engine({ toString: nothing })).field).toBe("toString");
  });
});
