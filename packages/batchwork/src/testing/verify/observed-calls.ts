/** Sees the calls of methods of the user's objects, as long as a verification lasts. */
import { BatchworkError } from "../../core/errors.ts";
import { callWithin } from "./script.ts";

/** Objects whose methods have effects, by the name that reports give them. */
export type EffectObjects = Readonly<Record<string, object>>;

type Method = (this: unknown, ...parameters: unknown[]) => unknown;

/** Puts every method of the objects under observation. What comes back ends it. */
export function observeCalls(objects: EffectObjects): () => void {
  const undo: (() => void)[] = [];
  const restore = (): void => {
    for (const one of undo.splice(0).toReversed()) one();
  };
  try {
    for (const [name, object] of Object.entries(objects)) {
      for (const key of methodsOf(name, object)) undo.push(replace(name, object, key));
    }
  } catch (error) {
    restore();
    throw error;
  }
  return restore;
}

function replace(name: string, object: object, key: string): () => void {
  const own = Object.getOwnPropertyDescriptor(object, key);
  const original = Reflect.get(object, key) as Method;
  function observed(this: unknown, ...parameters: unknown[]): unknown {
    // `this` is whatever the method was called on.
    return callWithin(`${name}.${key}()`, () => original.apply(this, parameters));
  }
  const property = { value: observed, configurable: true, writable: true };
  const enumerable = own?.enumerable ?? false;
  if (!Reflect.defineProperty(object, key, { ...property, enumerable })) {
    const message = `verifyHandler: effects.${name} is frozen, so its calls cannot be seen.`;
    throw new BatchworkError("OPTION_INVALID", message, { field: "effects", value: name });
  }
  return () => {
    if (own === undefined) Reflect.deleteProperty(object, key);
    else Object.defineProperty(object, key, own);
  };
}

/** Names of all methods, inherited ones too, but not those that every object has. */
function methodsOf(name: string, object: object): string[] {
  if ((typeof object !== "object" && typeof object !== "function") || object === null) {
    const message = `verifyHandler: effects.${name} must be an object whose methods have effects.`;
    throw new BatchworkError("OPTION_INVALID", message, { field: "effects", value: object });
  }
  const names = new Set<string>();
  for (let at: object | null = object; at !== null && !isRoot(at); at = parentOf(at)) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (key !== "constructor" && typeof value === "function") names.add(key);
    }
  }
  return [...names];
}

function parentOf(object: object): object | null {
  return Object.getPrototypeOf(object) as object | null;
}

function isRoot(object: object): boolean {
  return object === Object.prototype || object === Function.prototype;
}
