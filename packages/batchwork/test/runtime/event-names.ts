/** Every event of batches, and of the engine. */
import type { EngineEvents } from "../../src/runtime/events.ts";

export const EVENTS = [
  "added",
  "sealed",
  "claimed",
  "suspect",
  "started",
  "progress",
  "succeeded",
  "failed",
  "retried",
  "dead",
  "leaseLost",
  "paused",
  "resumed",
  "flushed",
  "drained",
  "reaped",
  "error",
  "stopped",
] as const satisfies readonly (keyof EngineEvents)[];
