/** Where the engine and `ctx.log` write. */

/** How loud a message is. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** What belongs to a message besides its text. */
export type LogFields = Record<string, unknown>;

/** Takes messages; pino, winston and `console` have this shape, or nearly. Must not throw. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** The default: warnings and errors to the console, the rest nowhere. */
export const consoleLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, fields) => print("warn", message, fields),
  error: (message, fields) => print("error", message, fields),
};

function print(level: "warn" | "error", message: string, fields: LogFields | undefined): void {
  const text = `[batchwork] ${message}`;
  if (fields === undefined) console[level](text);
  else console[level](text, fields);
}
