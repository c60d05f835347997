/** A process that is only slow is taken for dead, and says that it is not. */
import { expect, test } from "vitest";

import { failNth } from "../../src/testing/faulty-storage.ts";
import { Fixture, recorder } from "./fixture.ts";

test("a process that was taken for dead says that it lives, again until the storage has heard", async () => {
  const f = new Fixture("memory");
  const limits = { name: "events", maxSize: 1, maxWaitMs: 1000 };
  const options = { leaseMs: 1000, heartbeatMs: 250 };
  const { handler } = recorder<number>(f.clock);
  const { process: slow } = await f.started((bw) => bw.batch({ ...limits, handler }), options);
  await f.started((bw) => bw.batch({ ...limits, handler }), options);
  slow.freeze();
  await f.advance(5000);
  slow.faults = failNth({ nth: 1, method: "absolve", fail: "before" });
  slow.thaw();
  await f.advance(200);
  expect(slow.count("absolve")).toBe(1);
  await f.advance(250);
  expect(slow.count("absolve")).toBe(2);
  await f.advance(5000);
  expect(slow.count("absolve")).toBe(2);
});
