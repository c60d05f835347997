/** The error that ends an item without further attempts. */

/** What the message begins with. */
const MARK = "NonRetryableError: ";

/**
 * Thrown by an action, it fails the item at once, however many attempts are left. The name is part
 * of the message because a class does not survive the way from one function to another.
 */
export class NonRetryableError extends Error {
  override readonly name = "NonRetryableError";

  constructor(message: string) {
    super(MARK + message);
  }
}

/** True for a {@link NonRetryableError}, also after it crossed from one function into another. */
export function isNonRetryableError(thrown: unknown): boolean {
  if (thrown instanceof NonRetryableError) return true;
  return thrown instanceof Error && thrown.message.includes(MARK);
}
