/** What `ctx.progress` costs: as much for a large batch as for a small one. */
import { statSync } from "node:fs";

import { expect, test } from "vitest";

import { Folder, type Desk } from "./fixture.ts";

/** Bytes that one more call writes, for a batch of so many items. */
async function bytesWritten(items: number): Promise<number> {
  const folder = await Folder.make();
  const desk: Desk = await folder.desk();
  await desk.add(...Array.from({ length: items }, (_, n) => ({ n, text: "x".repeat(200) })));
  const lease = await desk.claimOne({ maxSize: items });
  expect(lease.count).toBe(items);
  const size = (): number => statSync(`${folder.path}-wal`).size;
  const before = size();
  expect(await desk.storage.progress(lease, 50, "half")).toBe(true);
  return size() - before;
}

test("progress writes as much for 5,000 items as for 5", async () => {
  const few = await bytesWritten(5);
  expect(few).toBeGreaterThan(0);
  expect(await bytesWritten(5000)).toBe(few);
});
