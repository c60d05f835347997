/** A promotion that is interrupted at a step: before or after any call between its two sides. */
import type {
  PromotionDestination,
  PromotionOrigin,
  PromotionWriter,
} from "../../../src/storage/promotion.ts";

/** Called with `"<method>"` before each call, and with `"<method> done"` after it. */
export type Step = (name: string) => void;

export function steppedFrom(from: PromotionOrigin, step: Step): PromotionOrigin {
  return {
    promotionSource: async (clock) => {
      step("promotionSource");
      return stepped(await from.promotionSource(clock), step);
    },
  };
}

export function steppedTo(to: PromotionDestination, step: Step): PromotionDestination {
  return {
    promotionTarget: async (clock) => {
      step("promotionTarget");
      return stepped(await to.promotionTarget(clock), step);
    },
  };
}

function stepped<T extends object>(side: T, step: Step): T {
  return new Proxy(side, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...given: unknown[]): unknown => {
        step(String(name));
        const result: unknown = Reflect.apply(value, target, given.map(withSteps));
        if (!(result instanceof Promise)) return result;
        return result.then((answer: unknown) => {
          step(`${String(name)} done`);
          return answer;
        });
      };
    },
  });

  /** The writer is handed to a callback. */
  function withSteps(argument: unknown): unknown {
    if (typeof argument !== "function") return argument;
    const copy = argument as (writer: PromotionWriter) => Promise<unknown>;
    return async (writer: PromotionWriter) => copy(stepped(writer, step));
  }
}
