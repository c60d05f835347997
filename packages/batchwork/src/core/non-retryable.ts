/** How a handler says that another attempt would be of no use. */

/** Thrown by a handler of a pool: the task has failed for good, whatever its `retry` says. */
export class NonRetryableError extends Error {
  override readonly name: string = "NonRetryableError";
}

/** True for such an error, also for one that another copy of this package made. */
export function isNonRetryable(error: unknown): boolean {
  return (
    error instanceof NonRetryableError ||
    (error instanceof Error && error.name === "NonRetryableError")
  );
}
