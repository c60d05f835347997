/** Whether a pooler, such as PgBouncer, is between this process and the server. */
import { TYPES, type PostgresPoolClient } from "./client.ts";

const BACKEND = "SELECT pg_backend_pid() AS pid";

/** As opposed to one whose every statement may run on another connection of the server's. */
export type Route = "direct" | "pooled" | "unknown";

/**
 * Where what answers is not what answered when the connection was opened, it was a pooler that
 * did. Unknown where the driver does not say.
 */
export async function routeOf(client: PostgresPoolClient, timeoutMs: number): Promise<Route> {
  const { processID } = client;
  if (typeof processID !== "number") return "unknown";
  const query = { text: BACKEND, types: TYPES, query_timeout: timeoutMs };
  const { rows } = await client.query(query);
  return rows[0]?.["pid"] === processID ? "direct" : "pooled";
}
