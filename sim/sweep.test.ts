import { expect, test } from "vitest";

import { MISHAPS, mishapAt } from "./sweep.ts";

/** The scenario makes more calls than this before its faults end. */
const CALLS = 100;
/** On SQLite, which is slower, every so many calls. */
const SQLITE_EVERY = 10;

test.each(MISHAPS)("every promise survives at each storage call: %s", async (mishap) => {
  let happened = 0;
  for (let call = 1; call <= CALLS; call++) {
    const store = call % SQLITE_EVERY === 0 ? "sqlite" : "memory";
    const { violation, totals } = await mishapAt(call, mishap, store);
    expect(violation, `${mishap}, call ${call}, ${store}`).toBeNull();
    expect(totals.done).toBeGreaterThan(0);
    happened += totals.injected[mishap] ?? 0;
  }
  expect(happened).toBeGreaterThanOrEqual(CALLS);
});
