/** The end of an attempt, as the schema's functions take it. */
import type { Child, Dead, Outcome } from "../../core/settle.ts";
import { resultsJson } from "./results.ts";

/**
 * The outcome as JSON, or `null` when every item succeeded and no result is to be kept. Errors are
 * JSON text inside it: they may hold characters that PostgreSQL's text cannot, and are never looked
 * into there.
 */
export function outcomeText(outcome: Outcome): string | null {
  const results = outcome.kind === "again" ? undefined : outcome.results;
  const kept = results === undefined ? undefined : resultsJson(results);
  if (outcome.kind === "done") {
    if (kept === undefined && outcome.keep !== true) return null;
    return JSON.stringify({ kind: "done", keep: outcome.keep, results: kept });
  }
  const error = JSON.stringify(outcome.error);
  if (outcome.kind === "again") return JSON.stringify({ ...outcome, error });
  const texts = (parts: readonly (Child | Dead)[]): unknown[] =>
    parts.map((part) => ({ ...part, error: JSON.stringify(part.error) }));
  const { kind, children, dead } = outcome;
  const parts = { children: texts(children), dead: texts(dead), results: kept };
  return JSON.stringify({ kind, error, ...parts });
}
