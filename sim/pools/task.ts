/** Tasks of a simulated pool: what they are given, and what becomes of them. */

/** What the handler does. */
export type TaskFate =
  /** Returns; in attempts up to `until` it throws, in the last of them for good where `final`. */
  | { readonly kind: "works"; readonly until: number; readonly final: boolean }
  /** Goes on until its signal aborts. */
  | { readonly kind: "endless" }
  /** Kills its process so often. */
  | { readonly kind: "kills"; readonly times: number };

/** The arguments of a task: all that is to be known of it. */
export interface SimTask {
  readonly uid: number;
  /** The first of its call. */
  readonly call: number;
  readonly serialKey: string;
  readonly priority: number;
  /** Its idempotency key; "" for none. */
  readonly key: string;
  /** It must not start before so many ms have passed, … */
  readonly afterMs: number;
  /** … which is not before this virtual time. */
  readonly notBefore: number;
  /** How long its handler takes, ms. */
  readonly workMs: number;
  /** How often it may be tried. */
  readonly maxAttempts: number;
  readonly fate: TaskFate;
  readonly pad: string;
}

/** What its handler returns. */
export interface SimReturn {
  readonly uid: number;
  readonly attempt: number;
}

/** Tells everywhere that a task kills each process that runs it. */
export const FOREVER = Number.MAX_SAFE_INTEGER;
