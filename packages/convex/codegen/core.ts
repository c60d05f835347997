/**
 * Copies the pure parts of `packages/batchwork/src/core` that the components share into `src/core`,
 * so that no Convex app gets the engine's `engines` field or a `node:` import with them.
 *
 *     node codegen/core.ts           writes the copies
 *     node codegen/core.ts --check   exits 1 when one of them is stale
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

const FROM = path.join(import.meta.dirname, "../../batchwork/src/core");
const TO = path.join(import.meta.dirname, "../src/core");

/** What is shared. Not among it: the text codec, leases, heartbeats (Convex has its own). */
const SHARED = ["bisect", "errors", "fields", "flush", "limits", "retry", "transitions"];

const HEADER = "// Copied from packages/batchwork/src/core by codegen/core.ts. Edit it there.\n";

/** The text of one copy: the original, with specifiers as a Convex bundle wants them. */
export function copyOf(name: string): string {
  const text = readFileSync(path.join(FROM, `${name}.ts`), "utf8");
  return HEADER + text.replaceAll(/(?<=from "\.\/[\w\-]+)\.ts(?=")/gv, ".js");
}

/** Names of the copies that differ from their original, miss, or should not be there. */
export function staleCopies(): string[] {
  const there = readdirSync(TO).map((file) => path.basename(file, ".ts"));
  const stale = SHARED.filter(
    (name) =>
      !there.includes(name) || readFileSync(path.join(TO, `${name}.ts`), "utf8") !== copyOf(name),
  );
  return [...stale, ...there.filter((name) => !SHARED.includes(name))];
}

function main(): void {
  if (process.argv.includes("--check")) {
    const stale = staleCopies();
    if (stale.length === 0) return;
    console.error(
      `src/core is stale: ${stale.join(", ")}. Run npm run codegen in packages/convex.`,
    );
    process.exitCode = 1;
    return;
  }
  rmSync(TO, { recursive: true, force: true });
  mkdirSync(TO, { recursive: true });
  for (const name of SHARED) writeFileSync(path.join(TO, `${name}.ts`), copyOf(name));
}

if (process.argv[1] === import.meta.filename) main();
