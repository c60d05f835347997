/** The strictest equality: prototypes, own keys in their order, `-0`, `NaN`, holes, bytes. */

/** True when nothing tells `a` from `b` but their identity. */
export function isSame(a: unknown, b: unknown): boolean {
  if (!isObject(a) || !isObject(b)) return Object.is(a, b);
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (!isSameInside(a, b)) return false;
  const keys = Reflect.ownKeys(a);
  const others = Reflect.ownKeys(b);
  if (keys.length !== others.length) return false;
  return keys.every((key, n) => key === others[n] && isSameProperty(a, b, key));
}

function isSameProperty(a: object, b: object, key: string | symbol): boolean {
  const one = Object.getOwnPropertyDescriptor(a, key);
  const other = Object.getOwnPropertyDescriptor(b, key);
  return one?.enumerable === other?.enumerable && isSame(one?.value, other?.value);
}

/** What built-ins hold outside of their properties. */
function isSameInside(a: object, b: object): boolean {
  if (a instanceof Date && b instanceof Date) return Object.is(a.getTime(), b.getTime());
  if (a instanceof RegExp && b instanceof RegExp) return String(a) === String(b);
  if (a instanceof Map && b instanceof Map) return isSame([...a], [...b]);
  if (a instanceof Set && b instanceof Set) return isSame([...a], [...b]);
  if (a instanceof ArrayBuffer && b instanceof ArrayBuffer) {
    return isSame(new Uint8Array(a), new Uint8Array(b));
  }
  if (a instanceof DataView && b instanceof DataView) {
    return isSame(bytesOf(a), bytesOf(b));
  }
  return Array.isArray(a) === Array.isArray(b);
}

function bytesOf({ buffer, byteOffset, byteLength }: DataView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
