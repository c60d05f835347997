/** The end of an attempt, as the schema's functions take it. */
import type { Child, Dead, Outcome } from "../../core/settle.ts";

/**
 * The outcome as JSON, or `null` when every item succeeded. Errors are JSON text inside it: they
 * may hold characters that PostgreSQL's text cannot, and are never looked into there.
 */
export function outcomeText(outcome: Outcome): string | null {
  if (outcome.kind === "done") return null;
  const error = JSON.stringify(outcome.error);
  if (outcome.kind === "again") return JSON.stringify({ ...outcome, error });
  const texts = (parts: readonly (Child | Dead)[]): unknown[] =>
    parts.map((part) => ({ ...part, error: JSON.stringify(part.error) }));
  const { kind, children, dead } = outcome;
  return JSON.stringify({ kind, error, children: texts(children), dead: texts(dead) });
}
