/** The database of a campaign on a pool, and what it says when all is over. */
import { join } from "node:path";

import { check, effectsIn, prepare } from "../campaign.ts";
import { settledDown } from "../postgres/campaign.ts";
import type { Cluster } from "../postgres/cluster.ts";
import type { Place } from "../stores.ts";

/** Nothing here needs the server's answers to be waited for less long, ms. */
const REPLY_TIMEOUT_MS = 30_000;

export interface PoolHome {
  readonly place: Place;
  /** Ids of the tasks whose end was told, once for each time. */
  readonly effects: () => Promise<readonly string[]>;
  /** What a check of the database says: "ok", or what is wrong. */
  readonly integrity: () => Promise<string>;
  /** Transactions and locks that somebody left behind. */
  readonly leftOpen: () => Promise<number>;
}

/** A file in this directory. */
export function sqliteHome(directory: string): PoolHome {
  const path = join(directory, "chaos.db");
  prepare(path);
  return {
    place: { kind: "sqlite", path },
    effects: async () => effectsIn(path).map(({ uid }) => uid),
    integrity: async () => check(path),
    leftOpen: async () => 0,
  };
}

/** A database of its own on this server. */
export async function postgresHome(cluster: Cluster): Promise<PoolHome> {
  const database = await cluster.database();
  const url = database.url(cluster.port);
  return {
    place: { kind: "postgres", url, replyTimeoutMs: REPLY_TIMEOUT_MS },
    effects: async () => (await database.effects()).map(({ uid }) => uid),
    integrity: async () => database.check(),
    leftOpen: async () => settledDown(database),
  };
}
