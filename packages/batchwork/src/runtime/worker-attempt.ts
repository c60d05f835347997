/** Telling what the user's functions throw from what the storage does. */

/** One call of the user's functions inside a transaction. */
export class Attempt {
  /** True once one of them threw. */
  failed = false;
  error: unknown;

  /** Runs them, and remembers what they throw. */
  watch<R>(run: () => R | PromiseLike<R>): R | PromiseLike<R> {
    let result: R | PromiseLike<R>;
    try {
      result = run();
    } catch (error) {
      throw this.#noted(error);
    }
    if (!isThenable(result)) return result;
    return result.then(
      (value) => value,
      (error: unknown) => {
        throw this.#noted(error);
      },
    );
  }

  /** The transaction's end; `undefined` when the functions threw. Rejects for all else. */
  async settle<R>(transaction: Promise<R>): Promise<R | undefined> {
    try {
      return await transaction;
    } catch (error) {
      if (this.failed && error === this.error) return undefined;
      if (isMistake(error)) {
        this.#noted(error);
        return undefined;
      }
      throw error;
    }
  }

  #noted(error: unknown): unknown {
    this.failed = true;
    this.error = error;
    return error;
  }
}

/** Goes on with a value, or with what a promise brings. */
export function andThen<T, R>(
  value: T | PromiseLike<T>,
  next: (value: T) => R | PromiseLike<R>,
): R | PromiseLike<R> {
  return isThenable(value) ? value.then(next) : next(value);
}

/** A transaction that the user's functions left in no state to commit. */
function isMistake(error: unknown): boolean {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "TX_ASYNC" || code === "TX_OVER";
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return "then" in value && typeof value.then === "function";
}
