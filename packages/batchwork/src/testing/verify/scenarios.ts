/** Everything that may happen to the delivery of a batch, one thing at a time. */
import type { Accident, Call, Plan } from "./script.ts";

/** One run. Without a plan nothing happens in it. */
export interface Scenario {
  readonly title: string;
  readonly plan?: Plan;
  readonly maxSize?: number;
}

/** A call, and which one it is, counted from 1. */
export interface CallAt extends Call {
  readonly at: number;
}

/** At most `max` calls, the first and the last among them. */
export function sampled(calls: readonly Call[], max: number): CallAt[] {
  const all = calls.map((call, index) => ({ ...call, at: index + 1 }));
  if (all.length <= max) return all;
  const step = (all.length - 1) / (max - 1);
  return Array.from({ length: max }, (_, n) => all[Math.round(n * step)] as CallAt);
}

const TITLES: Readonly<Record<Accident, (label: string) => string>> = {
  kill: (label) => `killed after ${label}, then delivered again`,
  fail: (label) => `${label} took effect but failed, then tried again`,
  cut: (label) => `lost its lease during ${label}: delivered elsewhere, and then it went on`,
  timeout: (label) => `timed out during ${label}: delivered again, and then it went on`,
};

/**
 * All runs beside the clean one.
 *
 * @param size items of the sample, when it is to come in two halves as well; else 0
 * @param maxSize of the definition
 */
export function scenariosOf(calls: readonly CallAt[], size: number, maxSize = size): Scenario[] {
  const scenarios = calls.flatMap((call) =>
    accidentsAt(call).map((accident) => ({
      title: TITLES[accident](call.label),
      plan: { accident, at: call.at },
    })),
  );
  if (size === 0) return scenarios;
  const half = Math.ceil(Math.min(size, maxSize) / 2);
  return [...scenarios, { title: "delivered in two halves", maxSize: half }];
}

function accidentsAt({ own, asynchronous, label }: CallAt): Accident[] {
  // What the engine's own calls do when they fail is the engine's affair.
  const fails = !own || !label.startsWith("ctx.");
  return ["kill", ...(fails ? ["fail" as const] : []), ...(asynchronous ? HELD : [])];
}

const HELD = ["cut", "timeout"] as const;
