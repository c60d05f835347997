/**
 * What is used of Standard Schema (version 1), which zod, valibot, arktype and others speak. Only
 * its shape: any object that has it is a schema.
 */
import { BatchworkError } from "./errors.ts";
import type { Field } from "./fields.ts";

/** A schema of any library that speaks Standard Schema. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | PromiseLike<SchemaResult<Output>>;
    /** Only for the type checker. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema says of a value: the value it makes of it, or what is wrong. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  readonly message: string;
  /** Where inside the value; empty or missing for the value itself. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What `add` takes. */
export type SchemaInput<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["input"];

/** What is stored, and handed to the handler. */
export type SchemaOutput<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["output"];

/** `ITEM_INVALID`: an item is not what the `schema` of its batch definition asks for. */
export class SchemaError extends BatchworkError {
  /** Position of the item in the call; 0 for `add`. */
  readonly index: number;
  /** Everything that is wrong with it, as the schema tells it. */
  readonly issues: readonly SchemaIssue[];

  // oxlint-disable-next-line unicorn/custom-error-definition -- a BatchworkError that says more
  constructor(batch: string, index: number, item: unknown, issues: readonly SchemaIssue[]) {
    const [first] = issues;
    const field = `$${pathText(first?.path ?? [])}`;
    const more = issues.length > 1 ? ` (and ${issues.length - 1} more: see \`issues\`)` : "";
    const problem = `${first?.message ?? ""}${more}`;
    const message = `Item ${index} for "${batch}" breaks its schema at ${field}: ${problem}`;
    super("ITEM_INVALID", message, { field, value: item });
    this.index = index;
    this.issues = issues;
  }
}

/** The option: an object, or a function, that speaks Standard Schema 1. */
export function standardSchema(): Field<unknown> {
  return {
    expected: "a schema that speaks Standard Schema 1 (zod, valibot, arktype, …)",
    accepts: isStandardSchema,
    fallback: { value: undefined },
  };
}

function isStandardSchema(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const standard: unknown = Reflect.get(value, "~standard");
  return (
    typeof standard === "object" &&
    standard !== null &&
    Reflect.get(standard, "version") === 1 &&
    typeof Reflect.get(standard, "validate") === "function"
  );
}

/** As one would write it in code: `.user.tags[2]`. */
function pathText(path: NonNullable<SchemaIssue["path"]>): string {
  let text = "";
  for (const segment of path) {
    const key = typeof segment === "object" ? segment.key : segment;
    if (typeof key === "number" || (typeof key === "string" && /^\d+$/v.test(key))) {
      text += `[${key}]`;
    } else if (typeof key === "symbol" || /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/v.test(key)) {
      text += `.${String(key)}`;
    } else text += `[${JSON.stringify(key)}]`;
  }
  return text;
}
