/** A storage that is another one, except for some methods. */
import type { Settlement, Storage } from "../../packages/batchwork/src/storage/storage.ts";
import type { Outcome } from "../../packages/batchwork/src/core/settle.ts";

/** `inner` with `changes` in the place of its own methods. */
export function decorate(inner: Storage, changes: Partial<Storage>): Storage {
  return new Proxy(inner, {
    get: (target, key) => {
      const value: unknown = Reflect.get(Object.hasOwn(changes, key) ? changes : target, key);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** `inner`, with every outcome replaced on its way in, whichever way it comes. */
export function withOutcomes(inner: Storage, change: (outcome: Outcome) => Outcome): Storage {
  return decorate(inner, {
    exchange: (request) => {
      const settlements = request.settlements.map((settlement): Settlement => {
        return { ...settlement, outcome: change(settlement.outcome) };
      });
      return inner.exchange({ ...request, settlements });
    },
    transact: (request) => inner.transact({ ...request, outcome: () => change(request.outcome()) }),
  });
}
