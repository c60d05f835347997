/** The options that say what is kept of work that is over, checked and completed. */
import { orElse, type Field } from "./fields.ts";
import { WAIT_MS_MAX } from "./limits.ts";
import type { Retention } from "./retention.ts";

/** At most `count`, and none older than `age`; one of them at least. */
export interface KeepOptions {
  /** The latest so many. 0 or more. Default: no limit. */
  readonly count?: number;
  /** Since it ended, in seconds, as OqronKit's. 0 to 31,536,000 (365 days). Default: no limit. */
  readonly age?: number;
}

/** `true` keeps nothing, `false` everything, a number the latest so many. */
export type RemoveOption = boolean | number | KeepOptions;

const MS_PER_SECOND = 1000;
const SECONDS_MAX = WAIT_MS_MAX / MS_PER_SECOND;

/** The option itself. */
export const removal: Field<RemoveOption | undefined> = orElse<RemoveOption, undefined>(
  {
    expected:
      "true, false, how many to keep (a whole number from 0), or { count, age } with one of " +
      `them at least: a whole number from 0, and 0 to ${SECONDS_MAX} seconds`,
    accepts: isRemoval,
  },
  undefined,
);

/** `undefined` where the option is not given. */
export function completeRemoval(given: RemoveOption | undefined): Retention | undefined {
  if (given === undefined) return undefined;
  const most = Number.POSITIVE_INFINITY;
  if (typeof given === "boolean") return Object.freeze({ count: given ? 0 : most, ageMs: most });
  if (typeof given === "number") return Object.freeze({ count: given, ageMs: most });
  const { count = most, age = most } = given;
  return Object.freeze({ count, ageMs: age * MS_PER_SECOND });
}

function isRemoval(value: unknown): boolean {
  if (typeof value === "boolean" || isCount(value)) return true;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { count, age, ...others } = value as Readonly<Record<string, unknown>>;
  if (Object.keys(others).length > 0 || (count === undefined && age === undefined)) return false;
  return (count === undefined || isCount(count)) && (age === undefined || isAge(age));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isAge(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value <= SECONDS_MAX;
}
