/** The storage calls of all processes one after another, as a write lock would have them. */
import type { ProcessClock } from "./scheduler.ts";

/** What a call of a dead process comes to. */
const NOTHING = Symbol("nothing");

export class SerialCalls {
  #line: Promise<unknown> = Promise.resolve();

  /** What a dead process asks for never happens, and what it waits for never comes. */
  async call<R>(clock: ProcessClock, run: () => Promise<R>): Promise<R> {
    const mine = this.#line.then(async () => (clock.dead ? NOTHING : run()));
    this.#line = mine.catch(() => undefined);
    try {
      const result = await mine;
      if (!clock.dead && result !== NOTHING) return result;
    } catch (error) {
      if (!clock.dead) throw error;
    }
    return new Promise(() => {
      // Never.
    });
  }
}

/** Methods that answer at once. */
const AT_ONCE: ReadonlySet<string | symbol> = new Set(["changed", "announce"]);

/** `inner` with some parts of it replaced; where there is a `call`, all else is made through it. */
export function overlay<S extends object>(
  inner: S,
  changes: Partial<S>,
  call?: <R>(run: () => Promise<R>) => Promise<R>,
): S {
  return new Proxy(inner, {
    get: (target, key) => {
      if (Object.hasOwn(changes, key)) return Reflect.get(changes, key) as unknown;
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as (...args: unknown[]) => unknown;
      if (call === undefined || AT_ONCE.has(key)) return method;
      return async (...args: unknown[]) => call(async () => method(...args));
    },
  });
}
