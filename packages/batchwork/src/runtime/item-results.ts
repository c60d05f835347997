/** What a handler says of single items, and what their adders are told. */

/** What `ctx.results` returns, for the handler to return. */
export interface ItemResults<X> {
  /** One result for each item, by position. */
  readonly values: readonly X[];
}

/** What `submit` resolves with where the handler returns `R`: `X` for `ItemResults<X>`. */
export type ResultOf<R> = unknown extends R ? unknown : R extends ItemResults<infer X> ? X : void;

/** Options of `submit`. */
export interface SubmitOptions extends WaitOptions {
  /** As for `add`: a repeat waits for the result of the item that was stored first. */
  readonly idempotencyKey?: string | undefined;
}

/** How long to wait for a result. What ends the waiting changes nothing about the item. */
export interface WaitOptions {
  /** Ends the waiting after so long, ms. 0 to 31,536,000,000 (365 days). */
  readonly timeoutMs?: number | undefined;
  /** Ends the waiting, which rejects with the signal's reason. Default: nothing does. */
  readonly signal?: AbortSignal | undefined;
}

/** What is known of an item. */
export type ItemStatus<X> =
  /** No such item, or one whose result was not to be kept, or is kept no longer. */
  | { readonly status: "unknown" }
  /** It waits, runs, or will be tried again. */
  | { readonly status: "pending" }
  /** It succeeded, with this result. */
  | { readonly status: "succeeded"; readonly result: X; readonly endedAt: Date }
  /** It is dead, or was left out (`ITEM_LEFT_OUT`); `error` says why. */
  | { readonly status: "failed"; readonly error: Error; readonly endedAt: Date };
