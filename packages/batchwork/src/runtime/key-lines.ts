/** Who adds which key: of calls that have a key in common, one at a time is on its way. */
import type { KeyedCall } from "./keyed-call.ts";

export class KeyLines {
  readonly #lines = new Map<object, Map<string, KeyedCall[]>>();

  /** The call that is on its way with this key. */
  first(scope: object, key: string): KeyedCall | undefined {
    return this.#lines.get(scope)?.get(key)?.[0];
  }

  /** Stands in line for all keys of the call. True when it need not wait. */
  enter(call: KeyedCall): boolean {
    const { scope } = call;
    let lines = this.#lines.get(scope);
    if (lines === undefined) this.#lines.set(scope, (lines = new Map<string, KeyedCall[]>()));
    for (const key of call.keys) {
      const line = lines.get(key);
      if (line === undefined) lines.set(key, [call]);
      else line.push(call);
    }
    return this.#isFirst(call);
  }

  /** Leaves all lines, being first in each. Returns who need not wait any longer. */
  leave(call: KeyedCall): KeyedCall[] {
    const lines = this.#lines.get(call.scope);
    const behind = new Set<KeyedCall>();
    for (const key of call.keys) {
      const line = lines?.get(key) as KeyedCall[];
      line.shift();
      const [next] = line;
      if (next === undefined) lines?.delete(key);
      else behind.add(next);
    }
    return [...behind].filter((next) => this.#isFirst(next));
  }

  #isFirst(call: KeyedCall): boolean {
    return call.keys.every((key) => this.first(call.scope, key) === call);
  }
}
