/** The database inside `ctx.tx`: what a handler is lent for the length of one transaction. */
import { BatchworkError } from "../../core/errors.ts";
import type { PostgresPoolClient } from "./client.ts";
import { transactionControl } from "./transaction-control.ts";

/** What a query inside a transaction answers. */
export interface PostgresTxResult<Row> {
  readonly rows: Row[];
  readonly rowCount: number | null;
}

/** A statement the way query builders give it to `pg`; what else it says is passed on. */
export interface PostgresTxQuery {
  readonly text: string;
  readonly values?: readonly unknown[];
}

/**
 * The database inside `ctx.tx`. A query builder takes it for a connection of `pg`. Everything
 * rejects with `TX_OVER` once the transaction has ended, however it ended; statements that begin or
 * end a transaction reject with it at once.
 */
export interface PostgresTx {
  /** Runs one statement, with `$1`, `$2` … for the values. */
  query<Row = Record<string, unknown>>(
    query: string | PostgresTxQuery,
    values?: readonly unknown[],
  ): Promise<PostgresTxResult<Row>>;
}

/** A facade, and the connection behind it. */
const facades = new WeakMap<object, Facade>();

export class Facade {
  readonly client: PostgresPoolClient;
  readonly tx: PostgresTx;
  #over = false;

  /** `query_timeout`: how long a statement may take, ms. */
  constructor(client: PostgresPoolClient, query_timeout: number) {
    this.client = client;
    this.tx = {
      query: async <Row>(given: string | PostgresTxQuery, values?: readonly unknown[]) => {
        const query = typeof given === "string" ? { text: given } : given;
        this.#check(query.text);
        const ready = { query_timeout, ...query, values: values ?? query.values ?? [] };
        return (await client.query(ready)) as PostgresTxResult<Row>;
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

  #check(sql: unknown): void {
    this.refuseWhenOver();
    if (typeof sql !== "string") {
      const message = "ctx.tx: query takes SQL as text, or { text, values }.";
      throw new BatchworkError("TX_UNSUPPORTED", message, { field: "sql", value: sql });
    }
    const control = transactionControl(sql);
    if (control === null) return;
    const message =
      `ctx.tx: ${control} is not allowed inside the transaction. ` +
      "It commits when the function returns, and rolls back when it throws.";
    throw new BatchworkError("TX_OVER", message, { field: "sql", value: sql });
  }
}
