/** What apps import to use the accumulator and the iterator. */
export type { LogLevel } from "../base/log.js";
