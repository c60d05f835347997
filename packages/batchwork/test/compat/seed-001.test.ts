/**
 * The page on Convex's batch worker, snippet by snippet: a query that returns work or idle, a
 * function that processes it, `ping` after each insert. Tables are the reader's own, in SQLite.
 */
import { describe, expect, test } from "vitest";

import type { Batchwork, Facade, Work } from "../../src/index.ts";
import { Fixture, type UserHandle } from "../runtime/fixture.ts";

const BATCH_SIZE = 10;

interface Events {
  readonly ids: readonly number[];
}

function eventsIn(f: Fixture, ...tables: readonly string[]): UserHandle {
  const db = f.handle();
  for (const table of tables) {
    db.exec(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, value INTEGER)`);
  }
  return db;
}

function take(tx: Facade, table: string): number[] {
  const rows = tx.prepare(`SELECT id FROM ${table} LIMIT ?`).all(BATCH_SIZE);
  return (rows as { readonly id: number }[]).map(({ id }) => id);
}

function remove(tx: Facade, table: string, ids: readonly number[]): void {
  for (const id of ids) tx.prepare(`DELETE FROM ${table} WHERE id = ?`).run(id);
}

describe("the page's snippets on sqlite storage:", () => {
  test("usage: insert work, ping, and the loop drains it in batches, then is idle", async () => {
    const f = new Fixture("sqlite");
    const db = eventsIn(f, "events");
    const batches: number[] = [];
    const { batch: worker } = await f.started((bw) =>
      bw.worker<Events>({
        name: "events",
        query: (tx) => {
          const ids = take(tx, "events");
          if (ids.length === 0) return { kind: "idle" };
          return { kind: "work", batch: { ids } };
        },
        process: (tx, { ids }) => {
          batches.push(ids.length);
          remove(tx, "events", ids);
          // Returning nothing re-runs immediately to drain the rest.
        },
      }),
    );
    await f.advance(1000);
    const addEvent = async (value: number): Promise<void> => {
      db.prepare("INSERT INTO events (value) VALUES (?)").run(value);
      await worker.ping();
    };
    for (let value = 0; value < 25; value++) await f.run(addEvent(value));
    await f.advance(1000);
    expect(batches.reduce((sum, size) => sum + size, 0)).toBe(25);
    expect(await f.run(worker.status())).toMatchObject({ status: "idle" });
  });

  test("steering: the mutation debounces, idle cools down, polls and times out", async () => {
    const f = new Fixture("sqlite");
    const db = eventsIn(f, "events");
    const at: number[] = [];
    const looks: number[] = [];
    const { batch: worker } = await f.started((bw) =>
      bw.worker<Events>({
        name: "events",
        query: (tx) => {
          looks.push(f.clock.monotonicMs());
          const ids = take(tx, "events");
          if (ids.length > 0) return { kind: "work", batch: { ids } };
          return { kind: "idle", cooldownMs: 10_000, pollIntervalMs: 250, timeoutMs: 60_000 };
        },
        process: (tx, { ids }) => {
          at.push(f.clock.monotonicMs());
          remove(tx, "events", ids);
          return { debounceMs: 30_000 };
        },
      }),
    );
    await f.advance(9000);
    expect(looks.length).toBeGreaterThan(30);
    await f.advance(3000);
    expect(await f.run(worker.status())).toMatchObject({ status: "idle", waitsFor: "timeout" });
    const cooled = looks.length;
    await f.advance(50_000);
    expect(looks).toHaveLength(cooled);
    // Nobody pings: the timeout finds it.
    db.prepare("INSERT INTO events (value) VALUES (1)").run();
    await f.advance(12_000);
    expect(at).toHaveLength(1);
    db.prepare("INSERT INTO events (value) VALUES (2)").run();
    await f.run(worker.ping());
    await f.advance(15_000);
    expect(at).toHaveLength(1);
    await f.advance(16_000);
    expect(at).toHaveLength(2);
  });

  test("multiple queues: one query serves many names, each with a loop of its own", async () => {
    const f = new Fixture("sqlite");
    const db = eventsIn(f, "emails", "files");
    const done: string[] = [];
    const define = (bw: Batchwork, name: string): ReturnType<typeof bw.worker<Events>> =>
      bw.worker<Events>({
        name,
        query: (tx, args): Work<Events> => {
          const ids = take(tx, args.name);
          return ids.length === 0 ? { kind: "idle" } : { kind: "work", batch: { ids } };
        },
        process: (tx, { ids }, ctx) => {
          done.push(`${ctx.name} ${ids.length}`);
          remove(tx, ctx.name, ids);
        },
      });
    const { batch: workers } = await f.started((bw) => [define(bw, "emails"), define(bw, "files")]);
    await f.advance(1000);
    db.prepare("INSERT INTO files (value) VALUES (1)").run();
    await f.run(workers[1]?.ping() ?? Promise.reject(new Error("There are two.")));
    await f.advance(100);
    expect(done).toEqual(["files 1"]);
  });

  test("stopping and resuming: stop ignores pings, and only start ends that", async () => {
    const f = new Fixture("sqlite");
    const db = eventsIn(f, "events");
    let processed = 0;
    const { batch: worker } = await f.started((bw) =>
      bw.worker<Events>({
        name: "events",
        debounceMs: 100,
        monitorLagMs: 15_000,
        query: (tx) => {
          const ids = take(tx, "events");
          return ids.length === 0 ? { kind: "idle" } : { kind: "work", batch: { ids } };
        },
        process: (tx, { ids }) => {
          processed += ids.length;
          remove(tx, "events", ids);
        },
      }),
    );
    await f.run(worker.stop());
    db.prepare("INSERT INTO events (value) VALUES (1)").run();
    await f.run(worker.ping());
    await f.advance(60_000);
    expect(processed).toBe(0);
    expect(await f.run(worker.status())).toMatchObject({ status: "stopped" });
    await f.run(worker.start());
    await f.advance(1000);
    expect(processed).toBe(1);
  });
});
