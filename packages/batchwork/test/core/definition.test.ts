import { expect, test } from "vitest";

import {
  differences,
  packSettings,
  prevails,
  unpackSettings,
  type SharedSettings,
} from "../../src/core/definition.ts";
import { resolveBatchOptions } from "../../src/core/options.ts";

const UNLIMITED = Number.POSITIVE_INFINITY;

const PLAIN: SharedSettings = {
  groupConcurrency: UNLIMITED,
  throttle: null,
  maxPending: null,
  completed: null,
  failed: null,
};

const RICH: SharedSettings = {
  groupConcurrency: 2,
  throttle: { max: 1, durationMs: 1000 },
  maxPending: { items: 10, bytes: UNLIMITED },
  completed: { count: UNLIMITED, ageMs: 5 },
  failed: { count: 1, ageMs: UNLIMITED },
};

test("settings survive being stored", () => {
  for (const settings of [PLAIN, RICH]) {
    expect(unpackSettings(packSettings(settings))).toEqual(settings);
  }
});

test("the same settings are the same text, in whatever order they come", () => {
  const { throttle, ...others } = RICH;
  expect(packSettings({ throttle, ...others })).toBe(packSettings(RICH));
});

test("a definition counts unless a higher version is stored", () => {
  const proposed = { version: 2, settings: PLAIN };
  expect(prevails(proposed, null)).toBe(true);
  expect(prevails(proposed, { version: 1, settings: RICH })).toBe(true);
  expect(prevails(proposed, { version: 2, settings: RICH })).toBe(true);
  expect(prevails(proposed, { version: 3, settings: PLAIN })).toBe(false);
});

test("differences have the names of options", () => {
  expect(differences(RICH, RICH)).toEqual([]);
  expect(differences(PLAIN, RICH)).toEqual([
    "groupConcurrency",
    "throttle",
    "maxPending",
    "removeOnComplete",
    "removeOnFail",
  ]);
  expect(differences(RICH, { ...RICH, throttle: { max: 2, durationMs: 1000 } })).toEqual([
    "throttle",
  ]);
});

test("a version is a whole number from 1 on, and 1 when it is left out", () => {
  const options = { name: "orders", maxSize: 1, maxWaitMs: 0, handler: () => undefined };
  const version = (given: object): number =>
    resolveBatchOptions({ ...options, ...given }, { concurrency: 1 }).version;
  expect(version({})).toBe(1);
  expect(version({ version: 7 })).toBe(7);
  expect(() => version({ version: 0 })).toThrow(/version of batch "orders" must be a whole number/);
});
