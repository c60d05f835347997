/** The options that make the size of batches follow a duration, checked and completed. */
import { group, invalidOption, orElse, whole, type Spec } from "./fields.ts";
import { WAIT_MS_MAX } from "./limits.ts";

/** `target` as far as it is given. */
export interface TargetFields {
  readonly durationMs: number | undefined;
}

const TARGET: Spec<TargetFields> = {
  durationMs: orElse(whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" }), undefined),
};

/** The option itself. */
export const target = group(TARGET);

/** What {@link completeTarget} looks at. */
export interface SizeFields {
  readonly target: TargetFields;
  readonly minSize: number | undefined;
  readonly maxSize: number;
}

/** `undefined` where there is no `target`. Throws `OPTION_INVALID`. */
export function completeTarget(
  subject: string,
  { target: { durationMs }, minSize, maxSize }: SizeFields,
  given: boolean,
): { readonly durationMs: number; readonly minSize: number } | undefined {
  if (!given) {
    if (minSize === undefined) return undefined;
    const problem = "needs target: without it, batches have up to maxSize items from the start";
    throw invalidOption(subject, "minSize", minSize, problem);
  }
  if (durationMs === undefined) {
    const problem = `is required: ${TARGET.durationMs.expected}`;
    throw invalidOption(subject, "target.durationMs", durationMs, problem);
  }
  if (minSize !== undefined && minSize > maxSize) {
    const problem = `must be at most maxSize (${maxSize}), not ${minSize}`;
    throw invalidOption(subject, "minSize", minSize, problem);
  }
  return Object.freeze({ durationMs, minSize: minSize ?? 1 });
}
