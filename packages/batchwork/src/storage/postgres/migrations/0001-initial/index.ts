/** The first schema: tables, and the functions that carry each method out in one round trip. */
import { CLAIM } from "./claim.ts";
import { EXCHANGE } from "./exchange.ts";
import { INTAKE } from "./intake.ts";
import { LEASES } from "./leases.ts";
import { SEAL } from "./seal.ts";
import { SETTLE } from "./settle.ts";
import { STATUS } from "./status.ts";
import { TABLES } from "./tables.ts";

export const initial = [TABLES, INTAKE, SEAL, CLAIM, SETTLE, EXCHANGE, LEASES, STATUS].join("\n");
