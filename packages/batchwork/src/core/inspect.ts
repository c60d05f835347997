/**
 * The thorough half of the codec's check: does the rich format keep this value, and if not, where
 * and why not? Runs only for what `plain.ts` does not wave through.
 */
import { BatchworkError, type ErrorCode } from "./errors.ts";
import { builtInOf, hasExtras } from "./built-ins.ts";
import { DEPTH_MAX, ITEM_BYTES_MAX, ITEM_VALUES_MAX } from "./limits.ts";

/** Throws `ITEM_INVALID` or `ITEM_TOO_LARGE` unless the rich format keeps `item`. */
export function checkRich(item: unknown): void {
  const walk = new Walk();
  walk.visit(item);
  walk.finish();
}

class Walk {
  #path: string[] = ["$"];
  #valuesLeft = ITEM_VALUES_MAX + 1;
  /** Where an own `__proto__` was seen first: JSON keeps it, the rich format cannot. */
  #proto: { readonly path: string; readonly value: unknown } | undefined;
  /** The containers around the current value, to tell a cycle from mere depth. */
  readonly #around: object[] = [];

  /** Said last: whoever removes what else is wrong may be left with plain JSON. */
  finish(): void {
    if (this.#proto === undefined) return;
    const { path, value } = this.#proto;
    this.#path = [path];
    this.#reject(
      value,
      'is a property named "__proto__" in an item that JSON alone cannot store',
      "rename it, or store the item's dates, bigints and the like as text",
    );
  }

  visit(value: unknown): void {
    if (--this.#valuesLeft < 0) this.#tooLarge(value);
    if (typeof value === "object" && value !== null) this.#enter(value);
    if (typeof value === "function") {
      this.#reject(value, "is a function", "store data only; methods are not data");
    }
    if (typeof value === "symbol") this.#reject(value, "is a symbol", "store a string instead");
  }

  #enter(value: object): void {
    const level = this.#around.indexOf(value);
    if (level !== -1) {
      // Each container adds one step to the path.
      const origin = this.#path.slice(0, level + 1).join("");
      this.#reject(value, `refers back to ${origin}`, "store an id in place of the reference");
    }
    if (this.#around.length >= DEPTH_MAX) {
      this.#reject(value, `is nested deeper than ${DEPTH_MAX} levels`, "store a flatter item");
    }
    this.#around.push(value);
    try {
      this.#container(value);
    } catch (cause) {
      if (cause instanceof BatchworkError) throw cause;
      // A trap of a Proxy, or a built-in that was taken apart.
      this.#reject(value, "cannot be read", "pass plain data without a Proxy", cause);
    }
    this.#around.pop();
  }

  #container(value: object): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (Array.isArray(value) && prototype === Array.prototype) return this.#array(value);
    if (prototype === null || prototype === Object.prototype) return this.#object(value);
    const kind = builtInOf(value, prototype as object);
    if (kind === null) {
      return this.#reject(
        value,
        `is an instance of ${className(prototype as object)}`,
        "it would come back as something else; convert it to a plain object, array or string",
      );
    }
    if (kind.problem !== null) {
      return this.#reject(value, kind.problem, "store a copy with plain contents");
    }
    // Counted before its keys are listed, which takes memory for each byte of a typed array.
    if (kind.bytes > ITEM_BYTES_MAX) this.#tooLarge(value);
    if (hasExtras(value, kind)) {
      this.#reject(value, `is a ${kind.name} with extra properties`, "store them beside it");
    }
    if (kind.name === "Map") this.#map(value as ReadonlyMap<unknown, unknown>);
    if (kind.name === "Set") this.#set(value as ReadonlySet<unknown>);
  }

  #object(value: object): void {
    // A built-in whose prototype was swapped still has the inside of what it was.
    if (Object.prototype.toString.call(value) !== "[object Object]") {
      this.#reject(value, "is a built-in in disguise", "store a plain object");
    }
    for (const key of Reflect.ownKeys(value)) {
      if (typeof key === "symbol") {
        this.#reject(value, `has the symbol key ${String(key)}`, "use string keys");
      } else {
        this.#path.push(segment(key));
        this.#property(value, key);
        this.#path.pop();
      }
    }
  }

  #property(owner: object, key: string): void {
    const property = Object.getOwnPropertyDescriptor(owner, key);
    if (property?.enumerable !== true) {
      return this.#reject(property?.value, "is not enumerable", "store it as a usual property");
    }
    const value = this.#read(owner, key, property);
    if (key === "__proto__") this.#proto ??= { path: this.#path.join(""), value };
    this.visit(value);
  }

  /** An accessor counts as the value it returns, as it does for JSON. */
  #read(owner: object, key: string, property: PropertyDescriptor): unknown {
    if (property.get === undefined && property.set === undefined) return property.value as unknown;
    if (property.get === undefined) {
      return this.#reject(owner, "has a setter and no getter", "store data");
    }
    try {
      return Reflect.get(owner, key) as unknown;
    } catch (cause) {
      return this.#reject(owner, "is an accessor that throws", "store its value", cause);
    }
  }

  #array(value: readonly unknown[]): void {
    const { length } = value;
    if (length > this.#valuesLeft) this.#tooLarge(value);
    const keys = Reflect.ownKeys(value);
    let elements = 0;
    for (let index = 0; index < length; index++) {
      if (Object.hasOwn(value, index)) {
        elements++;
        this.#path.push(`[${index}]`);
        this.#property(value, String(index));
        this.#path.pop();
      }
    }
    // One more is `length` itself.
    if (keys.length !== elements + 1) {
      this.#reject(value, "is an array with extra properties", "store them beside it");
    }
  }

  #map(value: ReadonlyMap<unknown, unknown>): void {
    let position = 0;
    for (const [key, element] of value) {
      this.#at(`.keys()[${position}]`, key);
      this.#at(`.values()[${position}]`, element);
      position++;
    }
  }

  #set(value: ReadonlySet<unknown>): void {
    let position = 0;
    for (const element of value) this.#at(`.values()[${position++}]`, element);
  }

  #at(step: string, value: unknown): void {
    this.#path.push(step);
    this.visit(value);
    this.#path.pop();
  }

  #tooLarge(value: unknown): never {
    const most = `at most ${ITEM_BYTES_MAX / 1024} KiB, so ${ITEM_VALUES_MAX} values`;
    const advice = `an item may have ${most}; split it, or store a reference to it`;
    return this.#throw("ITEM_TOO_LARGE", value, "makes the item too large", advice);
  }

  #reject(value: unknown, what: string, advice: string, cause?: unknown): never {
    return this.#throw("ITEM_INVALID", value, what, advice, cause);
  }

  #throw(code: ErrorCode, value: unknown, what: string, advice: string, cause?: unknown): never {
    const field = this.#path.join("");
    const message = `The item cannot be stored: ${field} ${what}; ${advice}.`;
    throw new BatchworkError(code, message, { field, value, cause });
  }
}

/** The longest key that is printed in full in a path, in characters. */
const PATH_KEY_MAX = 80;

function segment(key: string): string {
  if (key.length > PATH_KEY_MAX) return `[${JSON.stringify(`${key.slice(0, PATH_KEY_MAX)}…`)}]`;
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function className(prototype: object): string {
  const maker = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value as unknown;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "an unknown class";
}
