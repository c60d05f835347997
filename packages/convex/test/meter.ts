/**
 * Counts what a bill counts: every execution of a function, nested and component calls included, by
 * wrapping the handlers of registered functions. And hop latency: nothing scheduled starts sooner.
 */
import { afterEach, beforeEach } from "vitest";
import type { Modules } from "./stage.js";

/** What a Convex function looks like to a test backend. */
interface Registered {
  isQuery?: boolean;
  isMutation?: boolean;
  isAction?: boolean;
  _handler?: (...args: unknown[]) => unknown;
}

/** Executions by "folder/module:function". */
export class Meter {
  readonly counts = new Map<string, number>();

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

function wrap(name: string, fn: Registered): void {
  const isFunction = fn.isQuery ?? fn.isMutation ?? fn.isAction ?? false;
  const { _handler: handler } = fn;
  if (!isFunction || handler === undefined || wrapped.has(fn)) return;
  wrapped.add(fn);
  fn._handler = (...args) => {
    const counts = current?.counts;
    counts?.set(name, (counts.get(name) ?? 0) + 1);
    return handler(...args);
  };
}

/** Every timer takes at least `ms`: the scheduler's latency. Use after `useVirtualTime`. */
export function useHopLatency(ms: number): void {
  let original = globalThis.setTimeout;
  beforeEach(() => {
    original = globalThis.setTimeout;
    const later = ((then: () => void, delay = 0) => original(then, Math.max(ms, delay))) as never;
    globalThis.setTimeout = later;
  });
  afterEach(() => {
    globalThis.setTimeout = original;
  });
}
