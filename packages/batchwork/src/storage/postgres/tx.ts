/** The database inside `ctx.tx`: what a handler is lent for the length of one transaction. */
import { BatchworkError } from "../../core/errors.ts";
import type { PostgresPoolClient } from "./client.ts";
import { transactionControl } from "./transaction-control.ts";

/** What a query inside a transaction answers. */
export interface PostgresTxResult<Row> {
  readonly rows: Row[];
  readonly rowCount: number | null;
}

/**
 * The database inside `ctx.tx`. Everything rejects with `TX_OVER` once the transaction has ended,
 * however it ended; statements that begin or end a transaction reject with it at once.
 */
export interface PostgresTx {
  /** Runs one statement, with `$1`, `$2` … for the values. */
  query<Row = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<PostgresTxResult<Row>>;
}

/** A facade, and the connection behind it. */
const facades = new WeakMap<object, Facade>();

export class Facade {
  readonly client: PostgresPoolClient;
  readonly tx: PostgresTx;
  #over = false;

  constructor(client: PostgresPoolClient) {
    this.client = client;
    this.tx = {
      query: async <Row>(text: string, values: readonly unknown[] = []) => {
        this.#check(text);
        return (await client.query({ text, values })) as PostgresTxResult<Row>;
      },
    };
    facades.set(this.tx, this);
  }

  /** The facade behind what a caller passed as `tx`, if it is one. */
  static of(tx: unknown): Facade | undefined {
    return typeof tx === "object" && tx !== null ? facades.get(tx) : undefined;
  }

  /** The transaction ends: nothing can be done through the facade any more. */
  revoke(): void {
    this.#over = true;
  }

  refuseWhenOver(): void {
    if (!this.#over) return;
    const message = "This transaction has ended: use its tx only inside ctx.tx.";
    throw new BatchworkError("TX_OVER", message, { field: "tx" });
  }

  #check(sql: string): void {
    this.refuseWhenOver();
    const control = transactionControl(sql);
    if (control === null) return;
    const message =
      `ctx.tx: ${control} is not allowed inside the transaction. ` +
      "It commits when the function returns, and rolls back when it throws.";
    throw new BatchworkError("TX_OVER", message, { field: "sql", value: sql });
  }
}
