/** The databases of the campaigns: how a process opens its own, and writes effects to it. */
import { DatabaseSync } from "node:sqlite";

import type { BatchworkOptions } from "batchwork";
import { postgres, type PostgresTx } from "batchwork/postgres";
import { sqlite } from "batchwork/sqlite";
import pg from "pg";
import { sleep, systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import { EFFECTS_TABLE, type Steps } from "./work.ts";

/** Where the database is. */
export type Place =
  | { readonly kind: "sqlite"; readonly path: string }
  | {
      readonly kind: "postgres";
      readonly url: string;
      /** How long to wait for the server's answers, ms. */
      readonly replyTimeoutMs: number;
    };

/** A database that is open, and how to close what the storage does not. */
export interface Store {
  readonly storage: BatchworkOptions["storage"];
  readonly commit: Steps["commit"];
  readonly close: () => Promise<void>;
}

/** Between effects and acknowledgement, where they are not one, ms. */
const APART_MS = 20;

const CONNECTIONS = 8;

const INSERT_EFFECT = `INSERT INTO ${EFFECTS_TABLE} (uid, batch) VALUES (?, ?)`;
const INSERT_EFFECTS = `INSERT INTO ${EFFECTS_TABLE} (uid, batch) SELECT unnest($1::text[]), $2`;

/**
 * Opens it. With `apart` the effects do not commit with the acknowledgement: the mistake that
 * `ctx.tx` is there to prevent. A campaign that does not notice it is no good.
 */
export function openStore(place: Place, apart: boolean): Store {
  return place.kind === "sqlite" ? openSqlite(place.path, apart) : openPostgres(place, apart);
}

function openSqlite(path: string, apart: boolean): Store {
  const storage = sqlite({ path });
  const close = async (): Promise<void> => undefined;
  if (!apart) {
    const commit: Steps["commit"] = async (context, uids, follow) => {
      await context.tx((tx) => {
        const insert = tx.prepare(INSERT_EFFECT);
        for (const uid of uids) insert.run(uid, context.id);
        follow?.batch.addSync(follow.item, { tx });
      });
    };
    return { storage, commit, close };
  }
  const database = new DatabaseSync(path, { timeout: 1000 });
  const insert = database.prepare(INSERT_EFFECT);
  const commit: Steps["commit"] = async (context, uids) => {
    for (const uid of uids) insert.run(uid, context.id);
    await sleep(systemClock, APART_MS);
  };
  return { storage, commit, close };
}

type PostgresPlace = Extract<Place, { readonly kind: "postgres" }>;

function openPostgres({ url, replyTimeoutMs }: PostgresPlace, apart: boolean): Store {
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: replyTimeoutMs,
    keepAlive: true,
  });
  pool.on("error", () => undefined);
  const commit: Steps["commit"] = async (context, uids, follow) => {
    if (apart) {
      await pool.query(INSERT_EFFECTS, [uids, context.id]);
      await sleep(systemClock, APART_MS);
      return;
    }
    await context.tx(async (tx: PostgresTx) => {
      await tx.query(INSERT_EFFECTS, [uids, context.id]);
      if (follow !== undefined) await follow.batch.add(follow.item, { tx });
    });
  };
  const storage = postgres({ pool, replyTimeoutMs });
  return { storage, commit, close: async () => pool.end() };
}
