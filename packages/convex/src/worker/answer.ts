/** What a work query may answer, and how batches and cursors are compared. */
import { convexToJson, type Value } from "convex/values";
import { POLL_MS } from "./limits.js";
import type { Answer } from "./validators.js";
import { delayOf } from "./wake.js";

/** A poll that is not one, ms: what a turn costs sets the pace. */
const POLL_MS_MIN = 10;

/** Checks an answer. Throws when it is neither a batch nor idle. */
export function answerOf(returned: unknown): Answer {
  const answer = (returned ?? {}) as Record<string, unknown>;
  const { batch, cursor, kind } = answer;
  if (kind === "idle") {
    const { cooldownMs, pollIntervalMs, timeoutMs } = answer as Record<string, number | undefined>;
    return {
      kind: "idle",
      cooldownMs: delayOf(cooldownMs),
      pollIntervalMs: delayOf(pollIntervalMs ?? POLL_MS, POLL_MS_MIN),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
  }
  if (typeof batch !== "object" || batch === null) {
    throw new Error(
      'The work query returned neither a batch nor { kind: "idle" }. ' +
        "A batch is the object that the worker mutation takes as its arguments.",
    );
  }
  const found = { kind: "work", batch: batch as Record<string, unknown> } as const;
  return cursor === undefined ? found : { ...found, cursor: cursor as Value };
}

export function isSame(a: unknown, b: unknown): boolean {
  if (a === undefined || b === undefined) return a === b;
  return JSON.stringify(convexToJson(a as Value)) === JSON.stringify(convexToJson(b as Value));
}

/** A short text that differs when the batch does, but for once in four thousand million times. */
export function digestOf(batch: unknown): string {
  const text = JSON.stringify(convexToJson(batch as Value));
  let hash = 0x81_1c_9d_c5;
  for (let i = 0; i < text.length; i++) {
    // FNV-1a, 32 bits.
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01_00_01_93);
  }
  return `${text.length}:${hash >>> 0}`;
}
