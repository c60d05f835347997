/**
 * Finds conflicts that a test backend hides, because it runs transactions one after the other:
 * records what every transaction reads and writes, and compares those that could have run side by
 * side.
 */
import type { GenericSchema, SchemaDefinition } from "convex/server";
import type { Modules } from "../stage.js";
import { nameOfRead, touches } from "./reads.js";
import { frames, intercept, type Frame, type Log } from "./syscalls.js";

/** One transaction: a query or mutation that is not part of another one. */
interface Transaction extends Log {
  readonly name: string;
  readonly at: number;
  /** The run of the action that called it: its calls wait for each other. */
  readonly action: symbol | null;
}

/** Two transactions of which one would have had to run again. */
export interface Conflict {
  readonly first: string;
  readonly second: string;
  /** When the second one began. */
  readonly at: number;
  /** Who read what the other one wrote, and where. */
  readonly reasons: readonly string[];
}

/** A component, or the app, which is "". */
interface Audited {
  readonly path: string;
  readonly modules: Modules;
  readonly schema: SchemaDefinition<GenericSchema, boolean>;
}

interface Registered {
  isQuery?: boolean;
  isMutation?: boolean;
  isAction?: boolean;
  _handler?: (...args: unknown[]) => unknown;
}

let current: Auditor | undefined;

export class Auditor {
  readonly #transactions: Transaction[] = [];

  /** Records from now on, in the place of the auditor before. The app has to be deployed. */
  static async of(audited: readonly Audited[]): Promise<Auditor> {
    const fields = new Map<string, readonly string[]>();
    for (const { path, modules, schema } of audited) {
      for (const [table, definition] of Object.entries(schema.tables)) {
        for (const index of definition[" indexes"]()) {
          fields.set(`${path}/${table}.${index.indexDescriptor}`, index.fields);
        }
      }
      await wrapAll(path, modules);
    }
    intercept((table, index) => [
      ...(fields.get(`${table}.${index}`) ?? []),
      ...(index === "by_id" ? [] : ["_creationTime"]),
      "_id",
    ]);
    current = new Auditor();
    return current;
  }

  /** Forgets what happened so far. */
  clear(): void {
    this.#transactions.length = 0;
  }

  /** Runs a mutation that is no registered function, under a name. */
  transaction<R>(name: string, run: () => Promise<R>): Promise<R> {
    return frames.run(this.open(name, null), run);
  }

  /** The frame of a new transaction. */
  open(name: string, action: symbol | null): Frame {
    const log = { name, at: Date.now(), action, reads: [], writes: [] };
    this.#transactions.push(log);
    return { log, action, isStale: false, streams: new Map() };
  }

  /** How many transactions of this name were recorded. */
  count(name: string): number {
    return this.#transactions.filter((one) => one.name === name).length;
  }

  /**
   * Pairs that began within so many ms of each other and could not both have committed as they ran.
   * What waited for the other one is no pair: give less than the time that scheduling takes.
   */
  conflicts(withinMs: number): Conflict[] {
    const found: Conflict[] = [];
    for (const [index, second] of this.#transactions.entries()) {
      for (const first of this.#transactions.slice(0, index)) {
        if (second.at - first.at >= withinMs) continue;
        if (first.action !== null && first.action === second.action) continue;
        const reasons = [...reasonsOf(second, first), ...reasonsOf(first, second)];
        if (reasons.length === 0) continue;
        found.push({ first: first.name, second: second.name, at: second.at, reasons });
      }
    }
    return found;
  }
}

/** Why the reader would have to run again, had the writer committed meanwhile. */
function reasonsOf(reader: Transaction, writer: Transaction): string[] {
  // Who only reads has nothing that others could have made wrong.
  if (reader.writes.length === 0) return [];
  const inserted = new Set(
    writer.writes.flatMap(({ id, before }) => (before === null ? [id] : [])),
  );
  const places = reader.reads
    // Who reads by its id what the other inserted has seen it, and did not run beside it.
    .filter((read) => read.kind === "range" || !inserted.has(read.id))
    .filter((read) => writer.writes.some((write) => touches(write, read)))
    .map(nameOfRead);
  return [...new Set(places)].map((place) => `${reader.name} <- ${writer.name}: ${place}`);
}

/** The conflicts as text, those of a kind counted. */
export function describeConflicts(conflicts: readonly Conflict[]): string {
  const kinds = new Map<string, number>();
  for (const { reasons } of conflicts) {
    const text = reasons.join("; ");
    kinds.set(text, (kinds.get(text) ?? 0) + 1);
  }
  const lines = [...kinds].map(([text, count]) => `  ${count} × ${text}`);
  return [`${conflicts.length} conflicts`, ...lines].join("\n");
}

const wrapped = new WeakSet<Registered>();

async function wrapAll(path: string, modules: Modules): Promise<void> {
  for (const [file, load] of Object.entries(modules)) {
    if (/convex\.config|_generated|schema\.ts$/v.test(file)) continue;
    const short = file.replace(/^.*\//v, "").replace(/\.ts$/v, "");
    const module = (await load()) as Record<string, Registered>;
    for (const [name, fn] of Object.entries(module)) wrap(`${path}/${short}:${name}`, fn);
  }
}

function wrap(name: string, fn: Registered): void {
  const isAction = fn.isAction === true;
  const isFunction = isAction || fn.isQuery === true || fn.isMutation === true;
  const { _handler: handler } = fn;
  if (!isFunction || handler === undefined || wrapped.has(fn)) return;
  wrapped.add(fn);
  fn._handler = (...args) => {
    if (current === undefined) return handler(...args);
    return frames.run(frameOf(current, name, isAction), () => handler(...args));
  };
}

function frameOf(auditor: Auditor, name: string, isAction: boolean): Frame {
  const outer = frames.getStore();
  const action = outer?.action ?? null;
  if (isAction) {
    return { log: null, action: action ?? Symbol(name), isStale: false, streams: new Map() };
  }
  if (outer !== undefined && outer.log !== null) return { ...outer, streams: new Map() };
  return auditor.open(name, action);
}
