/**
 * What processes that share a storage agree on about a definition. Each proposes its own; the
 * highest version counts, and of equal ones the latest.
 */
import type { PendingLimit } from "./pending.ts";
import type { Retention } from "./retention.ts";
import type { Throttle } from "./throttle.ts";

/** What holds for all processes together, whichever of them does the work. */
export interface SharedSettings {
  /** `Infinity` for no limit. */
  readonly groupConcurrency: number;
  /** `null` for no limit. */
  readonly throttle: Throttle | null;
  /** `null` for no limit. */
  readonly maxPending: PendingLimit | null;
  /** What is kept of finished batches; `null` for the latest ones, without their items. */
  readonly completed: Retention | null;
  /** What is kept of dead letters; `null` for all. */
  readonly failed: Retention | null;
}

/** A definition as it is proposed, and stored. */
export interface SharedDefinition {
  readonly version: number;
  readonly settings: SharedSettings;
}

/** What users call the settings. */
const OPTIONS: Readonly<Record<keyof SharedSettings, string>> = {
  groupConcurrency: "groupConcurrency",
  throttle: "throttle",
  maxPending: "maxPending",
  completed: "removeOnComplete",
  failed: "removeOnFail",
};

/** True when what is proposed takes the place of what is stored. */
export function prevails(proposed: SharedDefinition, stored: SharedDefinition | null): boolean {
  return stored === null || proposed.version >= stored.version;
}

/** The options in which two definitions differ. */
export function differences(a: SharedSettings, b: SharedSettings): string[] {
  const keys = Object.keys(OPTIONS) as (keyof SharedSettings)[];
  return keys.filter((key) => packed(a[key]) !== packed(b[key])).map((key) => OPTIONS[key]);
}

/** The settings as text, in one form only. */
export function packSettings(settings: SharedSettings): string {
  const { groupConcurrency, throttle, maxPending, completed, failed } = settings;
  return packed({ groupConcurrency, throttle, maxPending, completed, failed });
}

export function unpackSettings(text: string): SharedSettings {
  return JSON.parse(text, (_, value: unknown) =>
    value === UNLIMITED ? Number.POSITIVE_INFINITY : value,
  ) as SharedSettings;
}

/** JSON has no infinity. */
const UNLIMITED = "unlimited";

function packed(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part === Number.POSITIVE_INFINITY ? UNLIMITED : part,
  );
}
