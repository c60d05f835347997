/**
 * Every migration, in order. The number of a migration is its place here, from 1. Only ever append.
 */
import { initial } from "./0001-initial.ts";
import { pools } from "./0001-pools.ts";

export const MIGRATIONS: readonly string[] = [initial + pools];
