/** What processes agree on about a definition. */
import {
  packSettings,
  prevails,
  unpackSettings,
  type SharedDefinition,
} from "../../core/definition.ts";
import type { Retention } from "../../core/retention.ts";
import type { Agreement, Proposal } from "../definitions.ts";
import type { SqliteHandle } from "./handle.ts";
import { countPending } from "./pending.ts";
import type { Statements } from "./prepared.ts";
import { queueRow } from "./queues.ts";

interface DefinitionRow {
  readonly version: number;
  /** `null` while nothing was proposed. */
  readonly settings: string | null;
}

export function propose(
  sql: Statements,
  handle: SqliteHandle,
  proposals: readonly Proposal[],
): Agreement[] {
  return proposals.map(({ queue, version, settings }) => {
    queueRow(sql, queue);
    const [before] = agreed(sql, [queue]) as [SharedDefinition | null];
    const text = packSettings(settings);
    if (!prevails({ version, settings }, before)) {
      return { stored: before as SharedDefinition, before };
    }
    if (before?.version !== version || packSettings(before.settings) !== text) {
      const [doneCount, doneAge] = columns(settings.completed);
      const [deadCount, deadAge] = columns(settings.failed);
      sql.setDefinition.run(version, text, doneCount, doneAge, deadCount, deadAge, queue);
    }
    countPending(sql, handle, queue, settings.maxPending !== null);
    return { stored: { version, settings }, before };
  });
}

export function agreed(sql: Statements, queues: readonly number[]): (SharedDefinition | null)[] {
  return queues.map((queue) => {
    const row = sql.definition.get(queue) as DefinitionRow | undefined;
    if (row === undefined || row.settings === null) return null;
    return { version: row.version, settings: unpackSettings(row.settings) };
  });
}

/** `NULL` for what has no limit; a whole number cannot be infinite. */
function columns(retention: Retention | null): [number | null, number | null] {
  if (retention === null) return [null, null];
  const most = Number.MAX_SAFE_INTEGER;
  return [Math.min(retention.count, most), Math.min(retention.ageMs, most)];
}
