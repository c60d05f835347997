/** The statements of one connection, prepared once. */
import { prepare, type SqliteHandle, type SqliteStatement } from "./handle.ts";
import { DEDUP, DEDUP_INTAKE } from "./dedup-statements.ts";
import { HISTORY } from "./history-statements.ts";
import { KEYED_INTAKE, KEYS } from "./key-statements.ts";
import { LOOP_INTAKE, LOOPS } from "./loop-statements.ts";
import { POOLS } from "./pool-statements.ts";
import { RESULTS } from "./result-statements.ts";
import { PENDING, PENDING_INTAKE } from "./pending-statements.ts";
import { RETENTION } from "./retention-statements.ts";
import { THROTTLE } from "./throttle-statements.ts";
import {
  BATCHES,
  CHUNKS,
  DEAD,
  GROUPS,
  INCARNATIONS,
  INTAKE,
  QUEUES,
  STATUS,
} from "./statements.ts";

const FOR_INTAKE = {
  ...INTAKE,
  ...KEYED_INTAKE,
  ...DEDUP_INTAKE,
  ...PENDING_INTAKE,
  ...LOOP_INTAKE,
} as const;

const ALL = {
  ...FOR_INTAKE,
  ...KEYS,
  ...QUEUES,
  ...GROUPS,
  ...CHUNKS,
  ...BATCHES,
  ...INCARNATIONS,
  ...STATUS,
  ...HISTORY,
  ...DEAD,
  ...THROTTLE,
  ...PENDING,
  ...RETENTION,
  ...RESULTS,
  ...POOLS,
  ...DEDUP,
  ...LOOPS,
} as const;

/** Prepared statements by name. */
export type Statements = Readonly<Record<keyof typeof ALL, SqliteStatement>>;

/** Those that an append needs. */
export type IntakeStatements = Readonly<Record<keyof typeof FOR_INTAKE, SqliteStatement>>;

export function prepareAll(handle: SqliteHandle): Statements {
  return prepareEach(handle, ALL);
}

export function prepareIntake(handle: SqliteHandle): IntakeStatements {
  return prepareEach(handle, FOR_INTAKE);
}

function prepareEach<K extends string>(
  handle: SqliteHandle,
  texts: Readonly<Record<K, string>>,
): Readonly<Record<K, SqliteStatement>> {
  const prepared: Partial<Record<K, SqliteStatement>> = {};
  for (const name of Object.keys(texts) as K[]) prepared[name] = prepare(handle, texts[name]);
  return prepared as Record<K, SqliteStatement>;
}
