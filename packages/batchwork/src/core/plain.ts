/**
 * The fast half of the codec's check: is this value plain JSON data beyond doubt? It runs for every
 * item, so it finds no reasons and no paths; `inspect.ts` does, for the few that are not.
 */
import { DEPTH_MAX, ITEM_VALUES_MAX } from "./limits.ts";

/** Values still allowed in the item under inspection. The walk is synchronous, so one will do. */
let valuesLeft = 0;

/** True when `JSON.parse(JSON.stringify(value))` is certain to deeply equal `value`. */
export function isPlain(value: unknown): boolean {
  // Somebody who patches a prototype changes what JSON.stringify writes, or what `in` lists.
  if ("toJSON" in Array.prototype || Object.keys(Object.prototype).length > 0) return false;
  valuesLeft = ITEM_VALUES_MAX;
  try {
    return isPlainAt(value, 1);
  } catch {
    // A trap of a Proxy threw; the thorough check finds out where.
    return false;
  }
}

function isPlainAt(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0);
    case "object":
      if (value === null) return true;
      if (depth > DEPTH_MAX) return false;
      return Array.isArray(value) ? isPlainArray(value, depth) : isPlainObject(value, depth);
    default:
      return false;
  }
}

function isPlainObject(value: object, depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  let count = 0;
  // The cheapest way through. An accessor counts as the value it returns, as it does for JSON; a
  // descriptor of each property, which could tell, would cost as much as all the rest.
  for (const key in value) {
    if (!isPlainAt((value as Readonly<Record<string, unknown>>)[key], depth + 1)) return false;
    count++;
  }
  valuesLeft -= count;
  if (valuesLeft < 0) return false;
  // Hidden keys and symbols would be lost without a word.
  if (Object.getOwnPropertyNames(value).length !== count) return false;
  return Object.getOwnPropertySymbols(value).length === 0;
}

function isPlainArray(value: readonly unknown[], depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Array.prototype) return false;
  const { length } = value;
  valuesLeft -= length;
  if (valuesLeft < 0) return false;
  for (let index = 0; index < length; index++) {
    if (!isPlainAt(value[index], depth + 1)) return false;
  }
  // Holes make it fewer keys than the length says, extra properties make it more.
  if (Object.keys(value).length !== length) return false;
  return Object.getOwnPropertySymbols(value).length === 0;
}
