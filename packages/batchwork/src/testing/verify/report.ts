/** What was found, for people. */
import { inspect } from "node:util";

/** One effect that is not what one clean delivery leaves. */
export interface EffectProblem {
  /** What happened to the delivery. */
  readonly scenario: string;
  /** Which property of the observed state differs; `"dead letters"` when items died of it. */
  readonly effect: string;
  readonly expected: unknown;
  readonly found: unknown;
}

const SHOWN_MAX = 20;

export function reportText(runs: number, problems: readonly EffectProblem[]): string {
  if (problems.length === 0) {
    return `verifyHandler: ${runs} runs, and all of them left the same state.`;
  }
  const bad = new Set(problems.map(({ scenario }) => scenario)).size;
  const lines = [`verifyHandler: ${bad} of ${runs} runs left another state than a clean delivery.`];
  let title = "";
  for (const { scenario, effect, expected, found } of problems.slice(0, SHOWN_MAX)) {
    if (scenario !== title) lines.push(`  ${scenario}`);
    title = scenario;
    lines.push(`    ${effect}: expected ${show(expected)}, found ${show(found)}`);
  }
  if (problems.length > SHOWN_MAX) lines.push(`  and ${problems.length - SHOWN_MAX} more`);
  return lines.join("\n");
}

function show(value: unknown): string {
  return inspect(value, { depth: 4, breakLength: Infinity, compact: true, maxArrayLength: 10 });
}
