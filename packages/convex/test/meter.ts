/**
 * Counts what a bill counts: every execution of a function, nested and component calls included, by
 * wrapping the handlers of registered functions. And hop latency: nothing scheduled starts sooner.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { GenericMutationCtx, GenericDataModel } from "convex/server";
import { afterEach, beforeEach } from "vitest";
import type { Modules } from "./stage.js";

type Kind = "query" | "mutation" | "action";

/** What a Convex function looks like to a test backend. */
interface Registered {
  isQuery?: boolean;
  isMutation?: boolean;
  isAction?: boolean;
  _handler?: (...args: unknown[]) => unknown;
}

/** What was executed, read and written. */
export interface Bill {
  query: number;
  mutation: number;
  action: number;
  /** Transactions: queries and mutations that are not part of another one. */
  transactions: number;
  documentsRead: number;
  documentsWritten: number;
  bytesRead: number;
  bytesWritten: number;
}

/** Executions by "folder/module:function", and the bill. */
export class Meter {
  readonly counts = new Map<string, number>();
  readonly bill: Bill = {
    query: 0,
    mutation: 0,
    action: 0,
    transactions: 0,
    documentsRead: 0,
    documentsWritten: 0,
    bytesRead: 0,
    bytesWritten: 0,
  };

  /** Wraps every function of these modules, once; later meters count the same functions. */
  static async over(folder: string, modules: Modules): Promise<void> {
    for (const [file, load] of Object.entries(modules)) {
      if (file.endsWith("convex.config.ts") || file.includes("_generated")) continue;
      const module = (await load()) as Record<string, Registered>;
      const path = file.replace(/^.*\//v, "").replace(/\.ts$/v, "");
      for (const [name, fn] of Object.entries(module)) wrap(`${folder}/${path}:${name}`, fn);
    }
  }

  /** A meter that counts from now on, instead of the one before. */
  static start(): Meter {
    current = new Meter();
    return current;
  }

  /** All executions so far. */
  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }
}

let current: Meter | undefined;

const wrapped = new WeakSet<Registered>();

/** Whether the function that runs is part of a transaction. */
const inTransaction = new AsyncLocalStorage<boolean>();

function wrap(name: string, fn: Registered): void {
  const kind = kindOf(fn);
  const { _handler: handler } = fn;
  if (kind === null || handler === undefined || wrapped.has(fn)) return;
  wrapped.add(fn);
  fn._handler = (...args) => {
    const meter = current;
    if (meter === undefined) return handler(...args);
    meter.counts.set(name, (meter.counts.get(name) ?? 0) + 1);
    meter.bill[kind]++;
    const isRoot = kind !== "action" && inTransaction.getStore() !== true;
    return inTransaction.run(kind !== "action", async () => {
      const result = await handler(...args);
      if (isRoot) await account(meter.bill, args[0] as GenericMutationCtx<GenericDataModel>);
      return result;
    });
  };
}

/** The platform's own figures of the transaction, as of its end. */
async function account(bill: Bill, ctx: GenericMutationCtx<GenericDataModel>): Promise<void> {
  const used = await ctx.meta.getTransactionMetrics();
  bill.transactions++;
  bill.documentsRead += used.documentsRead.used;
  bill.documentsWritten += used.documentsWritten.used;
  bill.bytesRead += used.bytesRead.used;
  bill.bytesWritten += used.bytesWritten.used;
}

function kindOf({ isQuery, isMutation, isAction }: Registered): Kind | null {
  if (isQuery === true) return "query";
  if (isMutation === true) return "mutation";
  return isAction === true ? "action" : null;
}

/** Every timer takes at least `ms`: the scheduler's latency. Use after `useVirtualTime`. */
export function useHopLatency(ms: number): void {
  let restore: (() => void) | undefined;
  beforeEach(() => {
    ({ restore } = slowTimers(ms));
  });
  afterEach(() => restore?.());
}

/** Makes every timer take at least `ms`. Returns the exact one, and how to undo it. */
export function slowTimers(ms: number): { exact: typeof setTimeout; restore: () => void } {
  const exact = globalThis.setTimeout;
  const later = ((then: () => void, delay = 0) => exact(then, Math.max(ms, delay))) as never;
  globalThis.setTimeout = later;
  return {
    exact,
    restore: () => {
      globalThis.setTimeout = exact;
    },
  };
}
