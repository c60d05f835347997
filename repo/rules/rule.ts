/** A house rule: a function over one file, with samples that prove it bites. */
export interface TextFile {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export interface Rule {
  readonly name: string;
  readonly applies: (path: string) => boolean;
  /** One line per violation; empty when the file keeps the rule. */
  readonly check: (file: TextFile) => readonly string[];
  /** Each must break the rule. */
  readonly bad: readonly TextFile[];
  /** Each must keep it, where a naive rule would bite. */
  readonly good?: readonly TextFile[];
  /** Files that break the rule for a reason, by name. An exemption nobody needs is an error. */
  readonly exempt?: readonly string[];
}

export const SRC = "packages/batchwork/src/";

export function isSource(path: string): boolean {
  return path.startsWith(SRC) && path.endsWith(".ts");
}

/** The Convex package: what is written by hand. Its files import each other as `.js`. */
export const CONVEX = "packages/convex/src/";

export function isConvexSource(path: string): boolean {
  return path.startsWith(CONVEX) && path.endsWith(".ts") && !path.includes("/_generated/");
}

export function isTest(path: string): boolean {
  return path.endsWith(".test.ts");
}

/** A sample: a source file of the package with this text. */
export function source(path: string, text: string): TextFile {
  return { path: SRC + path, text };
}
