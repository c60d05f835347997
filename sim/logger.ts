/** What an engine logs, as notes of the simulator. */
import type { Logger } from "batchwork";

/** Writes everything but debug lines, with the error's message. */
export function noting(note: (text: string) => void): Logger {
  const write = (level: string) => (message: string, fields?: object) => {
    const error = fields !== undefined && "error" in fields ? fields.error : undefined;
    const why = error instanceof Error ? ` (${error.message})` : "";
    note(`log ${level}: ${message}${why}`);
  };
  return {
    debug: () => undefined,
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}
