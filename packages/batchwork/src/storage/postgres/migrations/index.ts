/** Every migration, in order; the number of the last is the schema's version. */
import { initial } from "./0001-initial/index.ts";

export const MIGRATIONS: readonly string[] = [initial];
