/** The suite that every storage passes, in whatever test runner calls it. */
import { appendCases } from "./conformance/append.ts";
import { clockCases } from "./conformance/clock.ts";
import { deadLetterCases } from "./conformance/dead-letters.ts";
import { Fixture, type Cases, type OpenedStorage } from "./conformance/fixture.ts";
import { flushCases } from "./conformance/flush.ts";
import { groupCases } from "./conformance/groups.ts";
import { leaseCases } from "./conformance/leases.ts";
import { queueCases } from "./conformance/queues.ts";
import { sealingCases } from "./conformance/sealing.ts";
import { settleCases } from "./conformance/settle.ts";
import { sharingCases } from "./conformance/sharing.ts";
import { statusCases } from "./conformance/status.ts";
import { suspectCases } from "./conformance/suspects.ts";
import { transactCases } from "./conformance/transact.ts";

export type { OpenedStorage } from "./conformance/fixture.ts";

/** What {@link storageConformance} is given. */
export interface ConformanceOptions {
  /** Begins the title of each group of cases. */
  readonly name: string;
  /** A fresh, empty storage for one case; not opened yet. */
  readonly open: () => Promise<OpenedStorage>;
  /** The test runner's `describe`. */
  readonly describe: (title: string, body: () => void) => unknown;
  /** The test runner's `test`. */
  readonly test: (title: string, run: () => Promise<void>) => unknown;
}

const TOPICS: Readonly<Record<string, Cases>> = {
  queues: queueCases,
  append: appendCases,
  sealing: sealingCases,
  groups: groupCases,
  settle: settleCases,
  leases: leaseCases,
  suspects: suspectCases,
  clock: clockCases,
  flush: flushCases,
  status: statusCases,
  "dead letters": deadLetterCases,
  transact: transactCases,
  "two storages on the same data": sharingCases,
};

/**
 * Registers more than 100 cases that hold a storage to the port. Each case opens a storage of its
 * own, moves its clock by hand, and looks at nothing but what the port shows. Returns how many.
 */
export function storageConformance(options: ConformanceOptions): number {
  const { name, open, describe, test } = options;
  let count = 0;
  for (const [topic, cases] of Object.entries(TOPICS)) {
    count += Object.keys(cases).length;
    describe(`${name}: ${topic}`, () => {
      for (const [title, run] of Object.entries(cases)) {
        test(title, async () => {
          const opened = await open();
          try {
            await run(await Fixture.open(opened));
          } finally {
            await opened.close();
          }
        });
      }
    });
  }
  return count;
}
