/** Runs one workload to its end in virtual time, and says what it cost. */
import type { TestConvex } from "convex-test";
import { makeFunctionReference, type GenericSchema, type SchemaDefinition } from "convex/server";
import { vi } from "vitest";
import { Meter, slowTimers } from "../../packages/convex/test/meter.ts";
import { advance, deploy, type Modules } from "../../packages/convex/test/stage.ts";
import { HOP_MS } from "./hop.ts";
import { watched } from "./jobs.ts";
import { schema } from "./schema.ts";

const START = Date.UTC(2026, 0, 1);

/** Components poll, and have timers that outlast the work: none of this length. */
const LIMIT_MS = 3_600_000;

/** Without an execution for so long, ms, a workload is over. */
const QUIET_MS = 600_000;

type Deployed = TestConvex<SchemaDefinition<GenericSchema, boolean>>;

/** What is installed. */
export interface App {
  readonly modules: Modules;
  readonly register: (t: Deployed) => void;
}

/** Calls of one mutation of the app. */
export interface Scenario {
  readonly app: App;
  /** Not counted: what there is before. */
  readonly before?: { readonly fn: string; readonly args: object };
  readonly fn: string;
  readonly calls: readonly object[];
  /** Time between two calls, ms. */
  readonly everyMs: number;
  /** Items in all. */
  readonly items: number;
}

/** What a workload costs in all, and how long it takes in virtual time. */
export interface Cost {
  readonly items: number;
  readonly executions: number;
  readonly queries: number;
  readonly mutations: number;
  readonly actions: number;
  readonly transactions: number;
  readonly documentsRead: number;
  readonly documentsWritten: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** From the first call to the end of the last item, ms; but the slowest one below. */
  readonly lastMs: number;
  readonly lastButOneMs: number;
}

/** Runs it. Throws when an item did not end, or ended twice. */
export async function measure(scenario: Scenario): Promise<Cost> {
  const { app, before, calls, everyMs, items } = scenario;
  vi.useFakeTimers({ now: START, toFake: ["Date", "setTimeout", "clearTimeout"] });
  const { exact, restore } = slowTimers(HOP_MS);
  const random = vi.spyOn(Math, "random").mockImplementation(drawsOf(1));
  try {
    const t = await deploy(schema, app.modules);
    app.register(t);
    if (before !== undefined) await call(t, before.fn, before.args);
    watched.ended = [];
    const meter = Meter.start();
    const from = Date.now();
    for (const [index, args] of calls.entries()) {
      if (index > 0 && everyMs > 0) await advance(everyMs, exact);
      await call(t, scenario.fn, args);
    }
    await drain(meter);
    const ended = watched.ended.map((at) => at - from);
    if (ended.length !== items) throw new Error(`${ended.length} of ${items} items ended`);
    return costOf(meter, ended);
  } finally {
    random.mockRestore();
    restore();
    vi.useRealTimers();
  }
}

/** The same draws every time: a bill that is compared has to be the same one twice. */
function drawsOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

function costOf({ bill }: Meter, ended: readonly number[]): Cost {
  const [lastMs = 0, lastButOneMs = 0] = ended.toSorted((a, b) => b - a);
  return {
    items: ended.length,
    executions: bill.query + bill.mutation + bill.action,
    queries: bill.query,
    mutations: bill.mutation,
    actions: bill.action,
    transactions: bill.transactions,
    documentsRead: bill.documentsRead,
    documentsWritten: bill.documentsWritten,
    bytesRead: bill.bytesRead,
    bytesWritten: bill.bytesWritten,
    lastMs,
    lastButOneMs,
  };
}

async function call(t: Deployed, fn: string, args: object): Promise<void> {
  await t.mutation(makeFunctionReference<"mutation">(fn), args as never);
}

/** Until nothing is scheduled any more, but for what deletes history some day. */
async function drain(meter: Meter): Promise<void> {
  const from = Date.now();
  let [executions, quietFrom] = [meter.total, from];
  while (vi.getTimerCount() > 0 && Date.now() - quietFrom < QUIET_MS) {
    if (Date.now() - from > LIMIT_MS) throw new Error("something is scheduled for ever");
    await advance(1000);
    if (meter.total !== executions) [executions, quietFrom] = [meter.total, Date.now()];
  }
}
