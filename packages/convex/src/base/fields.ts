/** Fields that are there. */

type Present<T> = { [K in keyof T]?: Exclude<T[K], null | undefined> };

/** The object without the fields that are `null` or `undefined`. */
export function present<T extends object>(given: T): Present<T> {
  const entries = Object.entries(given).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  return Object.fromEntries(entries) as Present<T>;
}
