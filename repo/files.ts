import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import type { TextFile } from "./rules/rule.ts";

export const ROOT = path.join(import.meta.dirname, "..");

const SKIPPED = new Set([".git", "node_modules", "dist", "coverage", "results", "tmp"]);
const TEXT =
  /(?:\.(?:ts|js|json|md|sql|yml|yaml)|\.(?:npmrc|gitignore|gitattributes|editorconfig)|\.ci\/run|LICENSE)$/v;

/** Every text file of the repository that is not made or fetched. */
export function repositoryFiles(folder = ""): TextFile[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const at = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : repositoryFiles(at);
    if (!entry.isFile() || !TEXT.test(at)) return [];
    return [{ path: at, text: readFileSync(path.join(ROOT, at), "utf8") }];
  });
}
