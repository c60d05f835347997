/** Takes what engines say when everything goes wrong around them, as it should here. */
import type { Logger } from "batchwork";

export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
