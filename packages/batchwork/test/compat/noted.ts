/** What the snippets of a page call of their reader's own program. */

/** Calls of the reader's own functions, in order. */
export class Noted {
  readonly calls: unknown[][] = [];

  /** A function that notes its arguments under a name. */
  fn(name: string, work: () => unknown = () => undefined) {
    return async (...given: unknown[]): Promise<void> => {
      this.calls.push([name, ...given]);
      await work();
    };
  }

  count(name: string): number {
    return this.calls.filter(([called]) => called === name).length;
  }
}
