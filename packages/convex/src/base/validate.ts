/** Checks values against Convex validators, where the platform does not: in our own executor. */
import type { GenericValidator } from "convex/values";

/** A validator as it describes itself; only what is read here. */
interface Described {
  readonly kind: string;
  readonly isOptional?: string;
  readonly value?: unknown;
  readonly element?: Described;
  readonly members?: readonly Described[];
  readonly fields?: Readonly<Record<string, Described>>;
}

/** What is wrong with the value, with its path; `null` when nothing is. */
export function problemOf(
  validator: GenericValidator,
  value: unknown,
  path: string,
): string | null {
  return check(validator as Described, value, path);
}

const SCALARS: Readonly<Record<string, (value: unknown) => boolean>> = {
  id: (value) => typeof value === "string",
  string: (value) => typeof value === "string",
  float64: (value) => typeof value === "number",
  int64: (value) => typeof value === "bigint",
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  bytes: (value) => value instanceof ArrayBuffer,
};

function check(validator: Described, value: unknown, path: string): string | null {
  const { kind, element, members, fields } = validator;
  const isRight = SCALARS[kind];
  if (isRight !== undefined) return isRight(value) ? null : mismatch(path, kind, value);
  if (kind === "literal") {
    return value === validator.value ? null : mismatch(path, String(validator.value), value);
  }
  if (kind === "array" && element !== undefined) {
    if (!Array.isArray(value)) return mismatch(path, kind, value);
    return firstOf(value.entries(), (one, i) => check(element, one, `${path}[${i}]`));
  }
  if (kind === "union" && members !== undefined) {
    const isAny = members.some((member) => check(member, value, path) === null);
    return isAny ? null : mismatch(path, "one of a union", value);
  }
  return kind === "object" && fields !== undefined ? checkFields(fields, value, path) : null;
}

function checkFields(
  fields: Readonly<Record<string, Described>>,
  value: unknown,
  path: string,
): string | null {
  if (typeof value !== "object" || value === null) return mismatch(path, "object", value);
  const given = value as Record<string, unknown>;
  const unknown = Object.keys(given).find((name) => !(name in fields) && given[name] !== undefined);
  if (unknown !== undefined) return `${path}.${unknown} is not declared`;
  return firstOf(Object.entries(fields), (field, name) => {
    const one = given[name];
    if (one === undefined && field.isOptional === "optional") return null;
    return check(field, one, `${path}.${name}`);
  });
}

function firstOf<K, V>(
  entries: Iterable<readonly [K, V]>,
  problem: (value: V, key: K) => string | null,
): string | null {
  for (const [key, value] of entries) {
    const found = problem(value, key);
    if (found !== null) return found;
  }
  return null;
}

function mismatch(path: string, expected: string, value: unknown): string {
  return `${path} is to be ${expected}, not ${value === null ? "null" : typeof value}`;
}
