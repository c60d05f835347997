/** One measurement of a row on PostgreSQL: the process's own cost and the server's. */
import type { CaseContext, CaseResult, ServerCost } from "../harness/case.ts";
import { Meter } from "../harness/meter.ts";
import { durabilityAt } from "./server.ts";
import { ServerMeter } from "./server-cost.ts";

/** What a row is given: a database of its own, empty. */
export interface PostgresContext extends CaseContext {
  readonly database: string;
}

/** Runs a row once, in a process of its own. Rejects when an item was lost or came twice. */
export type RunPostgres = (context: PostgresContext) => Promise<CaseResult>;

/** What a row that works in several processes adds to what this one sees of itself. */
export interface Elsewhere {
  readonly cpuMs: number;
  readonly roundTrips: number;
}

/** Times `work`, which ends its phases by name. */
export async function measured(
  { database, items }: Pick<PostgresContext, "database" | "items">,
  work: (phase: (name: string) => void) => Promise<Elsewhere | undefined | void>,
): Promise<CaseResult & { readonly server: ServerCost }> {
  const durability = await durabilityAt(database);
  const server = await ServerMeter.start(database);
  const meter = await Meter.start({ items });
  const elsewhere = (await work((name) => meter.phase(name))) ?? { cpuMs: 0, roundTrips: 0 };
  const own = await meter.stop();
  const cost = await server.stop();
  return {
    ...own,
    cpuMs: own.cpuMs + elsewhere.cpuMs,
    commits: cost.commits,
    server: { ...cost, roundTrips: cost.roundTrips + elsewhere.roundTrips },
    durability,
  };
}
