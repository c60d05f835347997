/** What a storage says of a task that it ended itself, to whoever is told of the end of tasks. */
import type { StoredError } from "./errors.ts";

export interface EndedTask {
  /** Id of the task. */
  readonly ended: string;
  readonly kind: "failed" | "canceled";
  /** Why it failed. */
  readonly error: StoredError | null;
  /** The task as it was stored: its encoded text, or the value where references are kept. */
  readonly task: unknown;
}

/** One as the text of an item; plain JSON, which every codec reads back as it is. */
export function endedText(task: EndedTask): string {
  return JSON.stringify(task);
}
