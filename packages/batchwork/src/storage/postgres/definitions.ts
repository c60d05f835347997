/** What processes agree on about a definition, and replaying what is kept. */
import {
  packSettings,
  prevails,
  unpackSettings,
  type SharedDefinition,
} from "../../core/definition.ts";
import type { Retention } from "../../core/retention.ts";
import type { Agreement, Proposal } from "../definitions.ts";
import type { Database } from "./database.ts";

const PROPOSE = "SELECT * FROM @.propose($1, $2, $3, $4, $5, $6, $7)";

const AGREED = `SELECT q.version, q.settings
  FROM unnest($1::int[]) WITH ORDINALITY AS i (id, n) LEFT JOIN @.queues AS q ON q.id = i.id
  ORDER BY i.n`;

const REPLAY = "SELECT @.replay($1, $2, $3) AS id";

/** Each by itself: who waits for a queue holds no other. */
export async function propose(
  database: Database,
  proposals: readonly Proposal[],
): Promise<Agreement[]> {
  const agreements: Agreement[] = [];
  for (const { queue, version, settings } of proposals) {
    const { completed, failed } = settings;
    const values = [
      queue,
      version,
      packSettings(settings),
      ...columns(completed),
      ...columns(failed),
    ];
    const before = definitionOf(await database.row(PROPOSE, values));
    const proposed = { version, settings };
    const stored = before === null || prevails(proposed, before) ? proposed : before;
    agreements.push({ stored, before });
  }
  return agreements;
}

export async function agreed(
  database: Database,
  queues: readonly number[],
): Promise<(SharedDefinition | null)[]> {
  return (await database.rows(AGREED, [queues])).map((row) => definitionOf(row));
}

export async function replay(
  database: Database,
  queue: number,
  batch: number,
): Promise<number | null> {
  return (await database.row(REPLAY, [queue, batch, database.at]))["id"] as number | null;
}

function definitionOf(row: Readonly<Record<string, unknown>>): SharedDefinition | null {
  const { version, settings } = row as {
    readonly version: number;
    readonly settings: string | null;
  };
  return settings === null ? null : { version, settings: unpackSettings(settings) };
}

/** `NULL` for what has no limit, or is not said. */
function columns(retention: Retention | null): (number | null)[] {
  if (retention === null) return [null, null];
  const { count, ageMs } = retention;
  // Said, but without a limit: as many as there can be.
  const most = (value: number): number => Math.min(value, Number.MAX_SAFE_INTEGER);
  return [most(count), most(ageMs)];
}
