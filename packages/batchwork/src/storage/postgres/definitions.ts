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

type Row = Readonly<Record<string, unknown>>;

const PROPOSE = `SELECT p.* FROM
  unnest($1::int[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[]) WITH ORDINALITY AS i (queue, version, settings, dc, da, fc, fa, n),
  LATERAL @.propose(i.queue, i.version, i.settings, i.dc, i.da, i.fc, i.fa) AS p
  ORDER BY i.n`;

const AGREED = `SELECT q.version, q.settings
  FROM unnest($1::int[]) WITH ORDINALITY AS i (id, n) LEFT JOIN @.queues AS q ON q.id = i.id
  ORDER BY i.n`;

const REPLAY = "SELECT @.replay($1, $2, $3) AS id";

/** In order of queue, so that two processes wait for each other in one direction. */
export async function propose(
  database: Database,
  proposals: readonly Proposal[],
): Promise<Agreement[]> {
  const inOrder = proposals.toSorted((a, b) => a.queue - b.queue);
  const rows = await database.rows(PROPOSE, [
    inOrder.map(({ queue }) => queue),
    inOrder.map(({ version }) => version),
    inOrder.map(({ settings }) => packSettings(settings)),
    ...columns(inOrder.map(({ settings }) => settings.completed)),
    ...columns(inOrder.map(({ settings }) => settings.failed)),
  ]);
  return proposals.map((proposal) => {
    const { version, settings } = proposal;
    const before = definitionOf(rows[inOrder.indexOf(proposal)] as Row);
    const proposed = { version, settings };
    const stored = before === null || prevails(proposed, before) ? proposed : before;
    return { stored, before };
  });
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

function definitionOf(row: Row): SharedDefinition | null {
  const { version, settings } = row as {
    readonly version: number;
    readonly settings: string | null;
  };
  return settings === null ? null : { version, settings: unpackSettings(settings) };
}

/** Counts and ages: `NULL` where nothing is said, as many as there can be without a limit. */
function columns(retentions: readonly (Retention | null)[]): (number | null)[][] {
  const most = (value: number | undefined): number | null =>
    value === undefined ? null : Math.min(value, Number.MAX_SAFE_INTEGER);
  return [
    retentions.map((retention) => most(retention?.count)),
    retentions.map((retention) => most(retention?.ageMs)),
  ];
}
