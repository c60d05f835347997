/** What the user's actions did, outside of any transaction. */
export const watched = {
  started: [] as string[],
  done: [] as string[],
  /** When each began and ended, ms since the epoch. */
  spans: [] as { name: string; from: number; to?: number }[],
  running: 0,
  most: 0,
  thrown: 0,
  /** How many items each call of an array's callback was given. */
  arrays: [] as number[],
};

export function resetWatched(): void {
  const counts = { running: 0, most: 0, thrown: 0 };
  Object.assign(watched, { started: [], done: [], spans: [], arrays: [], ...counts });
}
