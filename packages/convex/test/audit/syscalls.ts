/**
 * Stands between Convex functions and the test backend, at `globalThis.Convex`, and notes what the
 * function that runs reads and writes. The backend's own entry is asked again at every call, because
 * it looks up the test that runs.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { jsonToConvex, type JSONValue, type Value } from "convex/values";
import type { Bound, Read, Row, Write } from "./reads.js";

/** What a transaction did so far. */
export interface Log {
  readonly reads: Read[];
  readonly writes: Write[];
}

/** The function that runs. */
export interface Frame {
  /** Of its transaction; `null` in an action. */
  readonly log: Log | null;
  /** The action that it is, or that called it. */
  readonly action: symbol | null;
  /** It reads a stale snapshot, which conflicts with nothing. */
  readonly isStale: boolean;
  readonly streams: Map<number, Stream>;
}

/** A query that is being read. */
interface Stream {
  readonly query: Query;
  count: number;
  last: Row | null;
  /** Where its range is among the reads. */
  at: number | null;
}

interface Query {
  readonly source: {
    readonly indexName?: string;
    readonly tableName?: string;
    readonly order?: string;
    readonly range?: readonly { type: Bound["type"]; fieldPath: string; value: JSONValue }[];
  };
  readonly operators: readonly { limit?: number }[];
}

interface Syscalls {
  readonly syscall: (op: string, args: string) => string;
  readonly asyncSyscall: (op: string, args: string) => Promise<string>;
  readonly jsSyscall: (op: string, args: unknown) => Promise<unknown>;
}

/** The fields of an index, by "component/table" and the index's name. */
export type FieldsOf = (table: string, index: string) => readonly string[];

export const frames = new AsyncLocalStorage<Frame>();

let fieldsOf: FieldsOf | undefined;

/** Begins to take notes, for good. An app has to be deployed already. */
export function intercept(fields: FieldsOf): void {
  const isInstalled = fieldsOf !== undefined;
  fieldsOf = fields;
  if (isInstalled) return;
  const scope = globalThis as unknown as { Convex?: Syscalls };
  const inner = scope.Convex;
  if (inner === undefined) throw new Error("deploy an app first");
  scope.Convex = {
    get syscall() {
      const call = inner.syscall;
      return (op: string, args: string) => noteQuery(op, args, call(op, args));
    },
    get asyncSyscall() {
      const call = inner.asyncSyscall;
      return (op: string, args: string) => note(call, op, args);
    },
    get jsSyscall() {
      return inner.jsSyscall;
    },
  };
}

function noteQuery(op: string, args: string, reply: string): string {
  if (op !== "1.0/queryStream") return reply;
  const { query } = JSON.parse(args) as { query: Query };
  const { queryId } = JSON.parse(reply) as { queryId: number };
  frames.getStore()?.streams.set(queryId, { query, count: 0, last: null, at: null });
  return reply;
}

type Call = Syscalls["asyncSyscall"];

interface Args {
  readonly table?: string;
  readonly id?: string;
  readonly queryId?: number;
  readonly udfType?: string;
  readonly query?: Query;
}

const WRITES: ReadonlySet<string> = new Set(["1.0/shallowMerge", "1.0/replace", "1.0/remove"]);

async function note(call: Call, op: string, json: string): Promise<string> {
  const frame = frames.getStore();
  const log = frame?.log;
  if (frame === undefined || !log) return call(op, json);
  const args = JSON.parse(json) as Args;
  if (op === "1.0/runUdf") return nested(frame, log, args.udfType, () => call(op, json));
  if (op === "1.0/insert") {
    const reply = await call(op, json);
    const { _id: id } = JSON.parse(reply) as { _id: string };
    const table = await tableOf(call, args.table);
    log.writes.push({ table, id, before: null, after: await rowOf(call, id) });
    return reply;
  }
  if (WRITES.has(op)) {
    const id = args.id as string;
    const before = await rowOf(call, id);
    const reply = await call(op, json);
    const table = await tableOf(call, args.table ?? tableName(id));
    log.reads.push({ kind: "document", table, id });
    log.writes.push({ table, id, before, after: await rowOf(call, id) });
    return reply;
  }
  const reply = await call(op, json);
  if (frame.isStale) return reply;
  if (op === "1.0/get") {
    const id = args.id as string;
    log.reads.push({ kind: "document", table: await tableOf(call, tableName(id)), id });
  } else if (op === "1.0/queryStreamNext") {
    const stream = frame.streams.get(args.queryId as number);
    if (stream !== undefined) await noteRow(call, log, stream, reply);
  } else if (op === "1.0/queryPage") await notePage(call, log, args.query as Query, reply);
  return reply;
}

/** A function that this one calls. When it throws, what it wrote is undone. */
async function nested(
  frame: Frame,
  log: Log,
  udfType: string | undefined,
  run: () => Promise<string>,
): Promise<string> {
  const { length } = log.writes;
  try {
    return await (udfType === "snapshotQuery"
      ? frames.run({ ...frame, isStale: true }, run)
      : run());
  } catch (thrown) {
    log.writes.length = length;
    throw thrown;
  }
}

async function noteRow(call: Call, log: Log, stream: Stream, reply: string): Promise<void> {
  const { value, done } = JSON.parse(reply) as { value: JSONValue; done: boolean };
  if (!done) {
    stream.count++;
    stream.last = decode(value) as Row;
  }
  const { query, count, last } = stream;
  const limit = query.operators.find((operator) => operator.limit !== undefined)?.limit;
  // At its limit, or when nobody asks for the next row, reading ends with the last one.
  const isWhole = done && (limit === undefined || count < limit);
  const range = await rangeOf(call, query, isWhole ? null : last);
  if (stream.at === null) stream.at = log.reads.push(range) - 1;
  else log.reads[stream.at] = range;
}

async function notePage(call: Call, log: Log, query: Query, reply: string): Promise<void> {
  const { page, isDone } = JSON.parse(reply) as { page: JSONValue[]; isDone: boolean };
  const last = page.at(-1);
  const until = isDone || last === undefined ? null : (decode(last) as Row);
  log.reads.push(await rangeOf(call, query, until));
}

async function rangeOf(call: Call, { source }: Query, until: Row | null): Promise<Read> {
  const name = source.indexName ?? `${source.tableName}.by_creation_time`;
  const [short = "", index = ""] = name.split(".");
  const table = await tableOf(call, short);
  return {
    kind: "range",
    table,
    index,
    bounds: (source.range ?? []).map((bound) => ({ ...bound, value: decode(bound.value) })),
    fields: fieldsOf?.(table, index) ?? [],
    isDescending: source.order === "desc",
    until,
  };
}

/** Names of tables are the component's own. */
async function tableOf(call: Call, table = ""): Promise<string> {
  const reply = await call("1.0/getFunctionMetadata", "{}");
  const { componentPath } = JSON.parse(reply) as { componentPath: string };
  return `${componentPath}/${table}`;
}

/** As the test backend makes ids. */
function tableName(id: string): string {
  return id.replace(/^\d+/v, "");
}

async function rowOf(call: Call, id: string): Promise<Row | null> {
  return decode(JSON.parse(await call("1.0/get", JSON.stringify({ id }))) as JSONValue) as Row;
}

function decode(value: JSONValue): Value | undefined {
  // How a bound says that a field is absent.
  if (value !== null && typeof value === "object" && "$undefined" in value) return undefined;
  return jsonToConvex(value);
}
