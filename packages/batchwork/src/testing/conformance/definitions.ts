/** What processes agree on about a definition. */
import assert from "node:assert/strict";

import type { SharedDefinition, SharedSettings } from "../../core/definition.ts";
import { PLAIN, UNLIMITED } from "./definition-fixture.ts";
import { rejectsWith, type Cases } from "./fixture.ts";

const RICH: SharedSettings = {
  groupConcurrency: 3,
  throttle: { max: 5, durationMs: 1000 },
  maxPending: { items: 100, bytes: UNLIMITED },
  completed: { count: UNLIMITED, ageMs: UNLIMITED },
  failed: { count: 10, ageMs: 60_000 },
};

export const definitionCases: Cases = {
  "the first definition is stored as it is": async (t) => {
    const queue = await t.queue();
    assert.deepEqual(await t.storage.agreed([queue]), [null]);
    const proposed: SharedDefinition = { version: 1, settings: RICH };
    const [agreement] = await t.storage.propose([{ queue, ...proposed }]);
    assert.deepEqual(agreement, { stored: proposed, before: null });
    assert.deepEqual(await (await t.second()).agreed([queue]), [proposed]);
  },

  "the higher version counts, whoever comes later": async (t) => {
    const queue = await t.queue();
    const [newer, older]: SharedDefinition[] = [
      { version: 7, settings: RICH },
      { version: 6, settings: PLAIN },
    ];
    assert.ok(newer !== undefined && older !== undefined);
    const second = await t.second();
    await t.storage.propose([{ queue, ...older }]);
    const [replaced] = await second.propose([{ queue, ...newer }]);
    assert.deepEqual(replaced, { stored: newer, before: older });
    const [kept] = await t.storage.propose([{ queue, ...older }]);
    assert.deepEqual(kept, { stored: newer, before: newer });
    assert.deepEqual(await t.storage.agreed([queue]), [newer]);
  },

  "of equal versions the latest counts": async (t) => {
    const queue = await t.queue();
    await t.storage.propose([{ queue, version: 1, settings: RICH }]);
    const [agreement] = await t.storage.propose([{ queue, version: 1, settings: PLAIN }]);
    assert.deepEqual(agreement?.stored, { version: 1, settings: PLAIN });
    assert.deepEqual(agreement?.before, { version: 1, settings: RICH });
    assert.deepEqual(await t.storage.agreed([queue]), [{ version: 1, settings: PLAIN }]);
  },

  "several are answered position by position": async (t) => {
    const queues = [await t.queue("a"), await t.queue("b"), await t.queue("c")];
    const [a = 0, b = 0] = queues;
    const answers = await t.storage.propose([
      { queue: b, version: 2, settings: RICH },
      { queue: a, version: 3, settings: PLAIN },
    ]);
    assert.deepEqual(
      answers.map(({ stored }) => stored.version),
      [2, 3],
    );
    const stored = await t.storage.agreed(queues);
    assert.deepEqual(
      stored.map((one) => one?.version),
      [3, 2, undefined],
    );
  },

  "a queue that is not there has no definition": async (t) => {
    await rejectsWith(
      t.storage.propose([{ queue: 999, version: 1, settings: PLAIN }]),
      "STORAGE_FAILED",
    );
  },
};
