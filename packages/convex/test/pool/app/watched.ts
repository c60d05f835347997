/** What the user's actions did, outside of any transaction. */
export const watched = {
  started: [] as string[],
  done: [] as string[],
  running: 0,
  most: 0,
  thrown: 0,
};

export function resetWatched(): void {
  Object.assign(watched, { started: [], done: [], running: 0, most: 0, thrown: 0 });
}
