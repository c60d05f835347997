/** Holds items to the `schema` of their definition before anything else is done with them. */
import { BatchworkError } from "../core/errors.ts";
import { SchemaError, type SchemaResult, type StandardSchema } from "../core/schema.ts";

export class Validation {
  readonly #batch: string;
  readonly #schema: StandardSchema["~standard"];

  constructor(batch: string, schema: StandardSchema) {
    this.#batch = batch;
    this.#schema = schema["~standard"];
  }

  /** The items as the schema gives them back. Rejects with `ITEM_INVALID` for the first bad one. */
  async check(items: readonly unknown[]): Promise<unknown[]> {
    const results = items.map(async (item) => this.#schema.validate(item));
    const checked: unknown[] = [];
    // All of them are awaited, so that no rejection goes unheard.
    for (const [index, result] of (await Promise.all(results)).entries()) {
      checked.push(this.#valueOf(result, index, items[index]));
    }
    return checked;
  }

  /** The same at once. Throws `SCHEMA_ASYNC` where the schema wants to be awaited. */
  checkSync(items: readonly unknown[]): unknown[] {
    return items.map((item, index) => {
      const result = this.#schema.validate(item);
      if (!("then" in result)) return this.#valueOf(result, index, item);
      // Nobody waits for it.
      result.then(undefined, () => undefined);
      const message =
        `The schema of "${this.#batch}" is asynchronous, so addSync cannot wait for it: ` +
        "use await add(item, { tx }), or check the item first.";
      throw new BatchworkError("SCHEMA_ASYNC", message, { field: "schema" });
    });
  }

  #valueOf(result: SchemaResult<unknown>, index: number, item: unknown): unknown {
    if (result.issues === undefined) return result.value;
    throw new SchemaError(this.#batch, index, item, result.issues);
  }
}
