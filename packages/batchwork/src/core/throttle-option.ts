/** The option that limits how often batches are handed over, checked and completed. */
import { group, invalidOption, orElse, whole, type Spec } from "./fields.ts";
import { DELIVERIES_MAX, WAIT_MS_MAX } from "./limits.ts";
import type { Throttle } from "./throttle.ts";

/** `throttle` as far as it is given. */
export interface ThrottleFields {
  readonly max: number | undefined;
  readonly duration: number | undefined;
}

const THROTTLE: Spec<ThrottleFields> = {
  max: orElse(whole({ minimum: 1, maximum: DELIVERIES_MAX, unit: "deliveries" }), undefined),
  duration: orElse(whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" }), undefined),
};

/** The option itself. */
export const throttle = group(THROTTLE);

/** `undefined` where there is no `throttle`. Throws `OPTION_INVALID`. */
export function completeThrottle(
  subject: string,
  { max, duration }: ThrottleFields,
  given: boolean,
): Throttle | undefined {
  if (!given) return undefined;
  if (max === undefined) throw missing(subject, "max");
  if (duration === undefined) throw missing(subject, "duration");
  return Object.freeze({ max, durationMs: duration });
}

function missing(subject: string, name: keyof ThrottleFields): Error {
  const problem = `is required: ${THROTTLE[name].expected}`;
  return invalidOption(subject, `throttle.${name}`, undefined, problem);
}
