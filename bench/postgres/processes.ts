/**
 * Ours in several processes: the items are dealt to them, each adds its own in awaited calls of 500,
 * then all process what is there, whoever added it.
 */
import { Deliveries } from "../harness/deliveries.ts";
import { measured, type RunPostgres } from "./measured.ts";
import { Workers, type Answer, type Share } from "./workers.ts";

/** Processes outlive a run, so that the one that is measured is not their first. */
let workers: Workers | undefined;
let onHandled: (items: number) => void = ignore;

export function processes(count: number): RunPostgres {
  return async (context) => {
    const { database, items } = context;
    workers ??= Workers.start(count, (handled) => onHandled(handled));
    const group = workers;
    const { promise: handledAll, resolve } = Promise.withResolvers<void>();
    let handled = 0;
    onHandled = (more) => {
      handled += more;
      if (handled >= items) resolve();
    };
    const opening = { kind: "open", database } as const;
    await group.all((index) => ({ ...opening, share: shareOf(items, index, count) }));
    const result = await measured(context, async (phase) => {
      await group.all(() => ({ kind: "add" }));
      phase("add");
      await group.all(() => ({ kind: "start" }));
      await handledAll;
      const costs = await group.all(() => ({ kind: "drain" }));
      phase("process");
      return { cpuMs: sum(costs, "cpuMs"), roundTrips: sum(costs, "statements") };
    });
    verify(items, await group.all(() => ({ kind: "close" })));
    return result;
  };
}

function shareOf(total: number, index: number, of: number): Share {
  const first = Math.floor((total * index) / of);
  return { first, count: Math.floor((total * (index + 1)) / of) - first, total };
}

function sum(answers: readonly Answer[], field: "cpuMs" | "statements"): number {
  return answers.reduce((total, answer) => total + (answer[field] ?? 0), 0);
}

/** Throws unless each item was delivered once, to whomever. */
function verify(items: number, answers: readonly Answer[]): void {
  const deliveries = new Deliveries(items);
  for (const { seen } of answers) {
    for (const [id, times] of seen?.entries() ?? []) {
      for (let n = 0; n < times; n++) deliveries.mark(id);
    }
  }
  deliveries.verify();
}

function ignore(): void {
  // Nobody is told between runs.
}
