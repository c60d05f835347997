/** What all moving parts of one engine share. */
import type { Clock } from "../core/clock.ts";
import type { Gate } from "./gate.ts";
import type { Logger } from "./logger.ts";

export interface Surroundings {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly gate: Gate;
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
