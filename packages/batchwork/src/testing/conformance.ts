/** The suite that every storage passes, in whatever test runner calls it. */
import { appendCases } from "./conformance/append.ts";
import { clockCases, databaseClockCases, processClockCases } from "./conformance/clock.ts";
import { deadLetterCases } from "./conformance/dead-letters.ts";
import {
  Fixture,
  type Cases,
  type OpenedStorage,
  type StorageTraits,
} from "./conformance/fixture.ts";
import { definitionCases } from "./conformance/definitions.ts";
import { deduplicationCases } from "./conformance/deduplication.ts";
import { flushCases } from "./conformance/flush.ts";
import { groupCases } from "./conformance/groups.ts";
import { historyCases } from "./conformance/history.ts";
import { keyLifeCases } from "./conformance/key-lives.ts";
import { keyCases } from "./conformance/keys.ts";
import { keysInsideCases } from "./conformance/keys-inside.ts";
import { leaseCases } from "./conformance/leases.ts";
import { loopControlCases } from "./conformance/loop-control.ts";
import { loopCases } from "./conformance/loops.ts";
import { asyncLoopCases, loopInsideCases } from "./conformance/loops-inside.ts";
import { poolCancelCases } from "./conformance/pool-cancels.ts";
import { poolLeaseCases } from "./conformance/pool-leases.ts";
import { poolLimitCases } from "./conformance/pool-limits.ts";
import { poolPendingCases } from "./conformance/pool-pending.ts";
import { poolSettleCases } from "./conformance/pool-settling.ts";
import { poolCases } from "./conformance/pools.ts";
import { pendingCases } from "./conformance/pending.ts";
import { preparationCases } from "./conformance/preparation.ts";
import { preparationKeyCases } from "./conformance/preparation-keys.ts";
import { queueCases } from "./conformance/queues.ts";
import { resultCases } from "./conformance/results.ts";
import { retentionCases } from "./conformance/retention.ts";
import { sealingCases } from "./conformance/sealing.ts";
import { settleCases } from "./conformance/settle.ts";
import { exactNewsCases, sharingCases } from "./conformance/sharing.ts";
import { statusCases } from "./conformance/status.ts";
import { suspectCases } from "./conformance/suspects.ts";
import { throttleCases } from "./conformance/throttle.ts";
import { asyncCases, syncCases, transactCases } from "./conformance/transact.ts";

export type { OpenedStorage, StorageTraits } from "./conformance/fixture.ts";

/** What {@link storageConformance} is given. */
export interface ConformanceOptions extends Partial<StorageTraits> {
  /** Begins the title of each group of cases. */
  readonly name: string;
  /** A fresh, empty storage for one case; not opened yet. */
  readonly open: () => Promise<OpenedStorage>;
  /** The test runner's `describe`. */
  readonly describe: (title: string, body: () => void) => unknown;
  /** The test runner's `test`. */
  readonly test: (title: string, run: () => Promise<void>) => unknown;
}

/** What the storages of the first kind are. */
const TRAITS: StorageTraits = { time: "process", transactions: "sync", news: "exact" };

function topicsFor({ time, transactions, news }: StorageTraits): Readonly<Record<string, Cases>> {
  return {
    ...TOPICS,
    "time of its own kind": time === "process" ? processClockCases : databaseClockCases,
    "transact of its own kind": transactions === "sync" ? syncCases : asyncCases,
    ...(transactions === "async" ? { "loops in open transactions": asyncLoopCases } : {}),
    ...(news === "exact" ? { "news of others": exactNewsCases } : {}),
  };
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
  history: historyCases,
  "dead letters": deadLetterCases,
  keys: keyCases,
  "lives of keys": keyLifeCases,
  "keys inside transactions": keysInsideCases,
  "prepared batches": preparationCases,
  "keys of prepared batches": preparationKeyCases,
  results: resultCases,
  throttle: throttleCases,
  pending: pendingCases,
  retention: retentionCases,
  definitions: definitionCases,
  deduplication: deduplicationCases,
  pools: poolCases,
  "settling tasks": poolSettleCases,
  "limits of pools": poolLimitCases,
  "pending tasks": poolPendingCases,
  "cancelled tasks": poolCancelCases,
  "leases of tasks": poolLeaseCases,
  transact: transactCases,
  loops: loopCases,
  "control of loops": loopControlCases,
  "loops in transactions": loopInsideCases,
  "two storages on the same data": sharingCases,
};

/**
 * Registers more than 100 cases that hold a storage to the port; where storages may differ, the
 * options say which kind it is. Each case opens a storage of its
 * own, moves its clock by hand, and looks at nothing but what the port shows. Returns how many.
 */
export function storageConformance(options: ConformanceOptions): number {
  const { name, open, describe, test } = options;
  let count = 0;
  const traits = { ...TRAITS, ...given(options) };
  for (const [topic, cases] of Object.entries(topicsFor(traits))) {
    count += Object.keys(cases).length;
    describe(`${name}: ${topic}`, () => {
      for (const [title, run] of Object.entries(cases)) {
        test(title, async () => {
          const opened = await open();
          try {
            await run(await Fixture.open(opened, traits));
          } finally {
            await opened.close();
          }
        });
      }
    });
  }
  return count;
}

function given({ time, transactions, news }: ConformanceOptions): Partial<StorageTraits> {
  return {
    ...(time === undefined ? {} : { time }),
    ...(transactions === undefined ? {} : { transactions }),
    ...(news === undefined ? {} : { news }),
  };
}
