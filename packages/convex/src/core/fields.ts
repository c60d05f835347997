// Copied from packages/batchwork/src/core by codegen/core.ts. Edit it there.
/** The option validator: a spec says what each field may be; what breaks it is named exactly. */
import { BatchworkError } from "./errors.js";
import { isName, NAME_BYTES_MAX, TAGS_MAX } from "./limits.js";

/** One option. */
export interface Field<V> {
  /** What a legal value looks like; completes "must be …". */
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  /** The value of an option that is not given. An option without this is required. */
  readonly fallback?: { readonly value: V };
  /** For an option that is an object of options. */
  readonly nested?: Spec<V>;
}

/** All options of one object. */
export type Spec<T> = { readonly [K in keyof T]-?: Field<T[K]> };

interface Range {
  readonly minimum: number;
  readonly maximum: number;
  /** Such as "ms"; part of every message. */
  readonly unit: string;
  /** True when `Infinity` is legal and means no limit. */
  readonly unlimited?: boolean;
}

/** A whole number in a range. */
export function whole(range: Range): Field<number> {
  const { minimum, maximum, unit, unlimited = false } = range;
  const orMore = unlimited ? ", or Infinity for no limit" : "";
  return {
    expected: `a whole number from ${minimum} to ${maximum} (${unit})${orMore}`,
    accepts: (value) =>
      (unlimited && value === Number.POSITIVE_INFINITY) ||
      (Number.isSafeInteger(value) && isBetween(value, minimum, maximum)),
  };
}

/** A number in a range, whole or not. */
export function fraction(minimum: number, maximum: number): Field<number> {
  return {
    expected: `a number from ${minimum} to ${maximum}`,
    accepts: (value) => typeof value === "number" && isBetween(value, minimum, maximum),
  };
}

/** One of a few words. */
export function choice<V extends string>(...choices: readonly V[]): Field<V> {
  return {
    expected: choices.map((word) => `"${word}"`).join(" or "),
    accepts: (value) => choices.some((word) => word === value),
  };
}

/** `true` or `false`. */
export function flag(): Field<boolean> {
  return { expected: "true or false", accepts: (value) => typeof value === "boolean" };
}

/** The name of a definition. */
export function name(): Field<string> {
  return {
    expected:
      `a string of 1 to ${NAME_BYTES_MAX} characters, ` +
      "each a letter (A-Z, a-z), a digit or one of _ . : -",
    accepts: (value) => typeof value === "string" && isName(value),
  };
}

/** A function; it is only checked here, and taken from the options themselves. */
export function callable(): Field<unknown> {
  return { expected: "a function", accepts: (value) => typeof value === "function" };
}

/** An object with these methods; it is only checked here as well. */
export function port(methods: readonly string[], advice: string): Field<unknown> {
  return {
    expected: `an object with the methods ${methods.join(", ")}; ${advice}`,
    accepts: (value) =>
      typeof value === "object" &&
      value !== null &&
      methods.every((method) => typeof Reflect.get(value, method) === "function"),
  };
}

/** A list of short texts. */
export function tags(): Field<readonly string[]> {
  return {
    expected: `an array of at most ${TAGS_MAX} strings of 1 to ${NAME_BYTES_MAX} characters`,
    accepts: (value) => Array.isArray(value) && value.length <= TAGS_MAX && value.every(isTag),
  };
}

/** An object of options of its own. */
export function group<T extends object>(spec: Spec<T>): Field<T> {
  return { expected: "an object", accepts: isRecord, fallback: { value: {} as T }, nested: spec };
}

/** The same field, with a value for when the option is not given. */
export function orElse<V, D>(field: Field<V>, value: D): Field<V | D> {
  return { expected: field.expected, accepts: field.accepts, fallback: { value } };
}

/**
 * Reads options by their spec: every default filled in, nothing unknown let through. Throws
 * `OPTION_INVALID`; `subject` says whose options they are.
 */
export function readFields<T extends object>(
  subject: string,
  options: unknown,
  spec: Spec<T>,
  path = "",
): Readonly<T> {
  if (!isRecord(options)) {
    const message = `The options of ${subject} must be an object, not ${printed(options)}.`;
    throw new BatchworkError("OPTION_INVALID", message, { field: "options", value: options });
  }
  const names = Object.keys(spec);
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(spec, key)) {
      throw unknownOption(subject, path + key, Reflect.get(options, key), nearest(key, names));
    }
  }
  const read: Record<string, unknown> = {};
  for (const key of names) {
    const field = Reflect.get(spec, key) as Field<unknown>;
    read[key] = readField(subject, Reflect.get(options, key), field, path + key);
  }
  return Object.freeze(read) as Readonly<T>;
}

function readField(subject: string, given: unknown, field: Field<unknown>, path: string): unknown {
  if (given === undefined && field.fallback === undefined) {
    throw invalidOption(subject, path, given, `is required: ${field.expected}`);
  }
  if (given !== undefined && !field.accepts(given)) {
    throw invalidOption(subject, path, given, `must be ${field.expected}, not ${printed(given)}`);
  }
  const value = given ?? field.fallback?.value;
  if (field.nested !== undefined) {
    return readFields(subject, value, field.nested as Spec<object>, `${path}.`);
  }
  // A copy: the caller may change theirs later.
  return Array.isArray(value) ? Object.freeze([...(value as unknown[])]) : value;
}

/** An `OPTION_INVALID` error; `problem` completes "Option … of …". */
export function invalidOption(
  subject: string,
  field: string,
  value: unknown,
  problem: string,
): BatchworkError {
  const message = `Option ${field} of ${subject} ${problem}.`;
  return new BatchworkError("OPTION_INVALID", message, { field, value });
}

function unknownOption(
  subject: string,
  field: string,
  value: unknown,
  known: string | null,
): BatchworkError {
  const advice = known === null ? "leave it out." : `did you mean ${known}?`;
  const message = `Unknown option ${field} of ${subject}: ${advice}`;
  return new BatchworkError("OPTION_INVALID", message, { field, value });
}

/** The longest text that is printed in full in a message, in characters. */
const PRINTED_MAX = 80;

function printed(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(
        value.length <= PRINTED_MAX ? value : `${value.slice(0, PRINTED_MAX)}…`,
      );
    case "function":
      return "a function";
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? "an array like this" : "an object like this";
    case "bigint":
      return `${value}n`;
    default:
      return String(value);
  }
}

function isRecord(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTag(value: unknown): boolean {
  return typeof value === "string" && value.length > 0 && value.length <= NAME_BYTES_MAX;
}

function isBetween(value: unknown, minimum: number, maximum: number): boolean {
  return (value as number) >= minimum && (value as number) <= maximum;
}

/** The known name that was probably meant: at least half of it has to be there. */
function nearest(key: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of names) {
    const count = edits(key.toLowerCase(), candidate.toLowerCase());
    if (count < fewest && count <= Math.max(key.length, candidate.length) / 2) {
      best = candidate;
      fewest = count;
    }
  }
  return best;
}

/** How many letters to insert, delete or replace to turn `a` into `b` (Levenshtein). */
function edits(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const inserted = (current[column - 1] as number) + 1;
      current.push(Math.min(replaced, inserted, (above[column] as number) + 1));
    }
    above = current;
  }
  return above[b.length] as number;
}
