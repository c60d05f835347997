/** What is set for a batch id reaches all of its groups, more than one transaction can write. */
import { expect, test } from "vitest";
import { advance, useVirtualTime } from "../stage.js";
import { watched } from "./app/watched.js";
import { events, stage } from "./fixture.js";

useVirtualTime();

test("a batch with many groups is paused, changed and resumed in all of them", async () => {
  const at = await stage({
    flushIntervalMs: 24 * 3_600_000,
    groupBy: ({ text = "" }) => text,
  });
  await at.add(events(120).map(({ n }) => ({ n, text: `group ${1000 + n}` })));
  await at.mutate((ctx) => at.processor.pause(ctx, "events"));
  await at.mutate((ctx) => at.processor.update(ctx, "events", { flushIntervalMs: 500 }));
  await advance(5000);
  expect(watched.done).toEqual([]);
  const groups = await at.rows("groups");
  expect(groups.filter(({ paused }) => paused === true)).toHaveLength(120);
  await at.mutate((ctx) => at.processor.resume(ctx, "events"));
  await advance(5000);
  const done = watched.done.flat().toSorted((a, b) => a - b);
  expect(done).toEqual(events(120).map(({ n }) => n));
});
