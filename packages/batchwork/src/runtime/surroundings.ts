/** What all moving parts of one engine share. */
import type { Clock } from "../core/clock.ts";
import type { EngineEvents, Emitter } from "./events.ts";
import type { Gate } from "./gate.ts";
import type { HookCalls } from "./hooks.ts";
import type { Logger } from "./logger.ts";
import type { Telemetry } from "./telemetry.ts";

export interface Surroundings {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly gate: Gate;
  readonly events: Emitter<EngineEvents>;
  readonly hookCalls: HookCalls;
  readonly telemetry: Telemetry;
  /** How long a lease lives unless renewed, ms. */
  readonly leaseMs: number;
  /** How often leases are renewed, ms. */
  readonly heartbeatMs: number;
  /** At most this long without a look at the storage, ms. */
  readonly tickIntervalMs: number;
  /** How often the storage is asked whether somebody else committed, ms. */
  readonly pollMs: number;
  readonly maxCrashes: number;
}
