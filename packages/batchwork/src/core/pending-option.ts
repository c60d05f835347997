/** The option that limits how much may be pending, checked and completed. */
import { choice, group, invalidOption, orElse, whole, type Spec } from "./fields.ts";
import type { PendingLimit } from "./pending.ts";

/** What an add does that does not fit. */
export type PendingPolicy = "reject" | "wait";

/** A limit and what becomes of adds beyond it. */
export interface MaxPending extends PendingLimit {
  readonly policy: PendingPolicy;
}

/** `maxPending` as far as it is given. */
export interface PendingFields {
  readonly items: number | undefined;
  readonly bytes: number | undefined;
  readonly policy: PendingPolicy;
}

const PENDING: Spec<PendingFields> = {
  items: orElse(whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "items" }), undefined),
  bytes: orElse(whole({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, unit: "bytes" }), undefined),
  policy: orElse(choice<PendingPolicy>("reject", "wait"), "reject"),
};

/** The option itself. */
export const maxPending = group(PENDING);

/** `undefined` where there is no `maxPending`. Throws `OPTION_INVALID`. */
export function completePending(
  subject: string,
  { items, bytes, policy }: PendingFields,
  given: boolean,
): MaxPending | undefined {
  if (!given) return undefined;
  if (items === undefined && bytes === undefined) {
    const problem = "needs items or bytes, or both: how much may be pending";
    throw invalidOption(subject, "maxPending", undefined, problem);
  }
  const most = Number.POSITIVE_INFINITY;
  return Object.freeze({ items: items ?? most, bytes: bytes ?? most, policy });
}
