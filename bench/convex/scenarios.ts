/** The workloads that ours and the others are compared by. */
import type { App, Scenario } from "./scenario.ts";
import type { Request } from "./requests.ts";

export type Scenarios = Readonly<Record<string, Scenario>>;

/** A call, and what is usual in it. */
export function request(given: Partial<Request>): Request {
  return {
    kind: "action",
    count: 100,
    maxParallelism: 100,
    onComplete: false,
    isolate: false,
    ...given,
  };
}

type PoolRow =
  "poolCalls" | "poolCallsOnComplete" | "poolMutations" | "poolSingles" | "poolTrickle";

/** A thousand items in ten calls, in a thousand at once, and one every five seconds. */
export function poolScenarios(
  app: App,
  fn: string,
  given: Partial<Request> = {},
): Record<PoolRow, Scenario> {
  const calls = (count: number, more: Partial<Request>): Request[] =>
    Array.from({ length: count }, () => request({ ...more, ...given }));
  const ten = { app, fn, everyMs: 10, items: 1000 };
  const trickle = calls(120, { count: 1, maxParallelism: 10 });
  return {
    poolCalls: { ...ten, calls: calls(10, {}) },
    poolCallsOnComplete: { ...ten, calls: calls(10, { onComplete: true }) },
    poolMutations: { ...ten, calls: calls(10, { kind: "mutation" }) },
    poolSingles: { ...ten, everyMs: 0, calls: calls(1000, { count: 1 }) },
    poolTrickle: { app, fn, everyMs: 5000, calls: trickle, items: 120 },
  };
}

/** A thousand rows in one burst, and one every five seconds, each with its wake-up call. */
export function workerScenarios(
  app: App,
  fn: string,
): Record<"workerBurst" | "workerTrickle", Scenario> {
  const calls = (count: number): object[] => Array.from({ length: count }, () => ({}));
  return {
    workerBurst: { app, fn, calls: calls(1000), everyMs: 0, items: 1000 },
    workerTrickle: { app, fn, calls: calls(120), everyMs: 5000, items: 120 },
  };
}
