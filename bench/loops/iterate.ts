/**
 * An iterator over a whole table, 500 rows a page, beside the same by hand on the same driver: the
 * same pages and, after each, the same durable commit of where it stands, and nothing else.
 */
import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Batchwork, fromTable, type IteratorOptions } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import type { CaseContext, CaseResult } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { Meter } from "../harness/meter.ts";
import {
  durabilityOf,
  synchronousOf,
  walCommits,
  watchConnections,
  weakestSynchronous,
} from "../harness/sqlite-facts.ts";
import { connect, fill, type Email } from "./schema.ts";

const PAGE = 500;
const COLUMNS = ["recipient", "subject"];

const KEYSET = "SELECT id, recipient, subject FROM emails WHERE id > ? ORDER BY id LIMIT ?";
const OFFSET = "SELECT id, recipient, subject FROM emails ORDER BY id LIMIT ? OFFSET ?";
const UPDATE = "UPDATE emails SET attempts = attempts + 1, sent_at = ? WHERE id = ?";

const PLACES = "CREATE TABLE places (name TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT";
const KEEP = `INSERT INTO places (name, at) VALUES ('emails', ?)
  ON CONFLICT (name) DO UPDATE SET at = excluded.at`;

type Process = IteratorOptions<Email>["processBatch"];

export async function iterate(context: CaseContext): Promise<CaseResult> {
  return walk(context, ({ items, deliveries }) => {
    for (const { id } of items) deliveries.mark(id);
  });
}

export async function covered(context: CaseContext): Promise<CaseResult> {
  const run = ({ items, deliveries }: Page): void => {
    for (const { id } of items) deliveries.mark(id);
  };
  return walk(context, run, { coverage: true });
}

export async function iterateTx(context: CaseContext): Promise<CaseResult> {
  return walk(context, ({ items, deliveries, tx }) =>
    tx((db) => {
      const update = db.prepare(UPDATE);
      for (const { id } of items) {
        update.run(Date.now(), id);
        deliveries.mark(id);
      }
    }),
  );
}

export async function bound(context: CaseContext): Promise<CaseResult> {
  return byHand(context, KEYSET, (select, last) => select.all(last, PAGE));
}

export async function offset(context: CaseContext): Promise<CaseResult> {
  return byHand(context, OFFSET, (select, _last, passed) => select.all(PAGE, passed));
}

export async function boundTx(context: CaseContext): Promise<CaseResult> {
  return byHand(context, KEYSET, (select, last) => select.all(last, PAGE), UPDATE);
}

type Page = Parameters<Process>[0] & { readonly deliveries: Deliveries };

async function walk(
  { items, directory }: CaseContext,
  run: (page: Page) => unknown,
  options: { readonly coverage?: boolean } = {},
): Promise<CaseResult> {
  watchConnections();
  const { path, database } = prepare(directory, items);
  const deliveries = new Deliveries(items);
  const { promise: completed, resolve } = Promise.withResolvers<void>();
  const bw = new Batchwork({ storage: sqlite({ path }) });
  const emails = bw.iterator<Email>({
    name: "emails",
    batchSize: PAGE,
    source: fromTable<Email>({ table: "emails", key: "id", columns: COLUMNS }),
    processBatch: (page) => run({ ...page, deliveries }),
    onComplete: () => resolve(),
    ...options,
  });
  // Opening the file is not what is measured.
  await bw.start();
  const meter = await Meter.start({ items, commits: () => walCommits(path) });
  await emails.start("all");
  await completed;
  meter.phase("process");
  const measurement = await meter.stop();
  const durability = durabilityOf(weakestSynchronous());
  await bw.stop();
  deliveries.verify();
  database.close();
  return { ...measurement, durability };
}

async function byHand(
  { items, directory }: CaseContext,
  text: string,
  read: (select: StatementSync, last: number, passed: number) => unknown[],
  updateText?: string,
): Promise<CaseResult> {
  const { path, database } = prepare(directory, items);
  const deliveries = new Deliveries(items);
  const select = database.prepare(text);
  const update = updateText === undefined ? undefined : database.prepare(updateText);
  const keep = database.prepare(KEEP);
  const meter = await Meter.start({
    items,
    commits: () => walCommits(path),
    synchronous: true,
  });
  let [last, passed] = [-1, 0];
  for (;;) {
    const page = read(select, last, passed) as Email[];
    if (page.length === 0) break;
    database.exec("BEGIN IMMEDIATE");
    for (const { id } of page) {
      update?.run(Date.now(), id);
      deliveries.mark(id);
    }
    last = page.at(-1)?.id ?? last;
    passed += page.length;
    keep.run(last);
    database.exec("COMMIT");
  }
  meter.phase("process");
  const measurement = await meter.stop();
  const durability = durabilityOf(synchronousOf(database));
  deliveries.verify();
  database.close();
  return { ...measurement, durability };
}

function prepare(directory: string, items: number): { path: string; database: DatabaseSync } {
  const path = join(directory, "work.db");
  const database = connect(path);
  fill(database, items);
  database.exec(PLACES);
  return { path, database };
}
