/** The first schema: tables, and the functions that carry each method out in one round trip. */
import { CLAIM } from "./claim.ts";
import { DEDUP } from "./dedup.ts";
import { ENTRY } from "./entry.ts";
import { EXCHANGE } from "./exchange.ts";
import { INTAKE } from "./intake.ts";
import { KEYS } from "./keys.ts";
import { LEASES } from "./leases.ts";
import { LOOK } from "./look.ts";
import { PREPARATION } from "./preparation.ts";
import { PROMOTIONS } from "./promotions.ts";
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
  PREPARATION,
  SEAL,
  CLAIM,
  SETTLE,
  LOOK,
  THROTTLE,
  ENTRY,
  EXCHANGE,
  LEASES,
  STATUS,
  PROMOTIONS,
].join("\n");
