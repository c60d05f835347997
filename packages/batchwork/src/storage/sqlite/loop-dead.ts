/** What loops gave up. */
import type { StoredError } from "../../core/errors.ts";
import type { LoopDeadQuery, LoopLetter, LoopLetters } from "../loop-dead.ts";
import { carryOut } from "./loops.ts";
import type { Statements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

interface Stored {
  readonly id: number;
  readonly loop: number;
  readonly part: string;
  readonly item: string;
  readonly error: string;
  readonly attempts: number;
  readonly marked: number;
  readonly died_at: number;
}

export function deadLetters(sql: Statements, query: LoopDeadQuery): LoopLetter[] {
  const { kind, name, part, after, limit } = query;
  const marked = query.marked ? 1 : 0;
  const rows = sql.loopLetters.all({ kind, name, part, after, limit, marked }) as Stored[];
  return rows.map(({ id, loop, part, item, error, attempts, marked, died_at: diedAt }) => {
    const read = JSON.parse(error) as StoredError;
    return { id, loop, part, item, error: read, attempts, marked: marked === 1, diedAt };
  });
}

export function discardDead({ sql }: Transaction, letters: LoopLetters): number {
  return Number(sql.discardLoopLetters.run(bound(letters)).changes);
}

export function redriveDead(tx: Transaction, letters: LoopLetters): number {
  const loops = tx.sql.lettersToMark.all(bound(letters)) as { readonly loop: number }[];
  const { changes } = tx.sql.markLoopLetters.run(bound(letters));
  for (const { loop } of loops) carryOut(tx, loop, "kick");
  return Number(changes);
}

function bound({ kind, name, ids }: LoopLetters): Record<string, string | null> {
  return { kind, name, ids: ids === "all" ? null : JSON.stringify(ids) };
}
