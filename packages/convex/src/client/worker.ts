/** What apps import to use the worker. */
export type { LogLevel } from "../base/log.js";
