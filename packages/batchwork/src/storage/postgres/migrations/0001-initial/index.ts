/** The first schema: tables, and the functions that carry each method out in one round trip. */
import { CLAIM } from "./claim.ts";
import { DEATHS } from "./deaths.ts";
import { DEDUP } from "./dedup.ts";
import { ENTRY } from "./entry.ts";
import { EXCHANGE } from "./exchange.ts";
import { INTAKE } from "./intake.ts";
import { KEYS } from "./keys.ts";
import { LEASES } from "./leases.ts";
import { LOOK } from "./look.ts";
import { LOOPS } from "./loops.ts";
import { POOL_CANCEL } from "./pool-cancel.ts";
import { POOL_CLAIM } from "./pool-claim.ts";
import { POOL_ENDS } from "./pool-ends.ts";
import { POOL_EXCHANGE } from "./pool-exchange.ts";
import { POOL_LEASES } from "./pool-leases.ts";
import { POOL_SETTLE } from "./pool-settle.ts";
import { POOL_SUSPECTS } from "./pool-suspects.ts";
import { POOL_TABLES } from "./pool-tables.ts";
import { PENDING } from "./pending.ts";
import { PREPARATION } from "./preparation.ts";
import { PROMOTIONS } from "./promotions.ts";
import { RESULTS } from "./results.ts";
import { RETENTION } from "./retention.ts";
import { SEAL } from "./seal.ts";
import { SETTLE } from "./settle.ts";
import { STATUS } from "./status.ts";
import { THROTTLE } from "./throttle.ts";
import { TABLES } from "./tables.ts";

export const initial = [
  TABLES,
  DEDUP,
  INTAKE,
  KEYS,
  RESULTS,
  DEATHS,
  PREPARATION,
  RETENTION,
  SEAL,
  CLAIM,
  SETTLE,
  LOOK,
  THROTTLE,
  ENTRY,
  EXCHANGE,
  POOL_TABLES,
  POOL_ENDS,
  POOL_SETTLE,
  POOL_CLAIM,
  POOL_SUSPECTS,
  POOL_EXCHANGE,
  POOL_LEASES,
  POOL_CANCEL,
  LOOPS,
  LEASES,
  STATUS,
  PENDING,
  PROMOTIONS,
].join("\n");
