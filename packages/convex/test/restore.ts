/**
 * Rows of an earlier version of a component, as they were recorded while work was in flight, put
 * into a deployment of the present one: what a deploy leaves there. Every row goes through the
 * validators of the present schema.
 */
import { readFileSync } from "node:fs";
import { jsonToConvex, type JSONValue } from "convex/values";
import type { GenericDataModel, GenericMutationCtx } from "convex/server";
import { vi } from "vitest";

type Row = Record<string, JSONValue>;

interface Recorded {
  /** When, ms since the epoch. */
  readonly now: number;
  readonly tables: Readonly<Record<string, readonly Row[]>>;
}

type Ctx = GenericMutationCtx<GenericDataModel>;

type Inside = <R>(run: (ctx: Ctx) => Promise<R>) => Promise<R>;

const SCHEDULED = "_scheduled_functions";

/** An id as the test backend makes them. */
const ID = /\d{12,}[a-z_]+/gv;

/** Puts the rows of a file into the component. Actions that ran are gone, as after a deploy. */
export async function restore(
  component: string,
  inside: Inside,
  file: string,
  order: readonly string[],
): Promise<void> {
  const { now, tables } = JSON.parse(readFileSync(file, "utf8")) as Recorded;
  vi.setSystemTime(now);
  await inside(async (ctx) => {
    const ids = new Map<string, string>();
    const mapped = (text: string): string => text.replaceAll(ID, (id) => ids.get(id) ?? id);
    const renamed = (row: Row): Row => JSON.parse(mapped(JSON.stringify(row))) as Row;
    // An id of a row that was gone by then is one of a row that is gone now.
    const text = JSON.stringify(tables);
    for (const [id] of text.matchAll(ID)) ids.set(id, await goneId(ctx, id, component));
    for (const table of order) {
      for (const row of tables[table] ?? []) {
        const old = row["_id"] as string;
        ids.set(old, await ctx.db.insert(table, fieldsOf(renamed(row))));
      }
    }
    for (const row of tables[SCHEDULED] ?? []) {
      ids.set(row["_id"] as string, await rescheduled(ctx, renamed(row), component));
    }
    // References go in circles: once more, with the ids that are known now.
    for (const table of order) {
      for (const row of tables[table] ?? []) {
        const after = renamed(row);
        await ctx.db.replace(after["_id"] as never, fieldsOf(after));
      }
    }
  });
}

/** What was stored, without what the platform adds. */
function fieldsOf(row: Row): never {
  const fields = Object.entries(row).filter(([name]) => !name.startsWith("_"));
  return jsonToConvex(Object.fromEntries(fields)) as never;
}

async function rescheduled(ctx: Ctx, row: Row, component: string): Promise<string> {
  const { name, args, scheduledTime, state } = row as unknown as {
    name: string;
    args: JSONValue[];
    scheduledTime: number;
    state: { kind: string };
  };
  const handle = `function://${component};${name}`;
  const given = jsonToConvex(args[0] ?? {});
  const id = await ctx.scheduler.runAt(scheduledTime, handle as never, given as never);
  if (state.kind === "inProgress") await ctx.scheduler.cancel(id);
  return id;
}

/** The id of something that does not exist, of the same kind. */
async function goneId(ctx: Ctx, id: string, component: string): Promise<string> {
  if (!id.endsWith(SCHEDULED)) return `9${id.slice(1)}`;
  const handle = `function://${component};loop:turn` as never;
  const gone = await ctx.scheduler.runAfter(0, handle, { turn: -1 } as never);
  await ctx.scheduler.cancel(gone);
  return gone;
}
