/**
 * Generates `_generated` of every component and of the example app, offline.
 *
 *     node codegen/main.ts           writes in place
 *     node codegen/main.ts --check   exits 1 when what is committed is stale
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { staleCopies } from "./core.ts";
import { serveCodegen } from "./server.ts";

const PACKAGE = path.join(import.meta.dirname, "..");
const COMPONENTS = ["batch", "pool", "worker"];

/** Runs the Convex CLI in `root`, a copy of the package or the package itself. */
async function generate(root: string, args: readonly string[]): Promise<void> {
  const { url, close } = await serveCodegen();
  try {
    const entry = createRequire(import.meta.url).resolve("convex/server");
    const cli = path.join(entry.slice(0, entry.lastIndexOf("/dist/")), "bin/main.js");
    const fixed = ["--typecheck", "disable", "--url", url, "--admin-key", "offline"];
    const child = spawn(process.execPath, [cli, "codegen", ...fixed, ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output: string[] = [];
    const keep = (text: string): void => {
      output.push(text);
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    const code = await new Promise((resolve) => {
      child.on("close", resolve);
    });
    if (code !== 0) throw new Error(`convex codegen ${args.join(" ")} failed:\n${output.join("")}`);
  } finally {
    close();
  }
}

/** Generates everything below `root`. */
async function generateAll(root: string): Promise<void> {
  for (const name of COMPONENTS) await generate(root, ["--component-dir", `src/${name}`]);
  if (existsSync(path.join(root, "example/convex"))) await generate(root, []);
}

/** Texts of all generated files below `root`, by path. */
function generatedFiles(root: string): Map<string, string> {
  const folders = [
    ...COMPONENTS.map((name) => `src/${name}/_generated`),
    "example/convex/_generated",
  ];
  const files = new Map<string, string>();
  for (const folder of folders.filter((one) => existsSync(path.join(root, one)))) {
    for (const file of readdirSync(path.join(root, folder))) {
      const at = path.posix.join(folder, file);
      files.set(at, readFileSync(path.join(root, at), "utf8"));
    }
  }
  return files;
}

/** Paths of generated files that are not what the sources would generate now. */
export async function staleFiles(): Promise<string[]> {
  const copy = path.join(PACKAGE, "tmp", `codegen-${process.pid}`);
  try {
    for (const part of ["src", "example", "package.json", "convex.json"]) {
      const from = path.join(PACKAGE, part);
      if (existsSync(from)) cpSync(from, path.join(copy, part), { recursive: true });
    }
    const committed = generatedFiles(PACKAGE);
    for (const at of committed.keys()) rmSync(path.join(copy, at));
    await generateAll(copy);
    const fresh = generatedFiles(copy);
    const names = new Set([...committed.keys(), ...fresh.keys()]);
    return [...names].filter((at) => committed.get(at) !== fresh.get(at)).sort();
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  if (!process.argv.includes("--check")) {
    await generateAll(PACKAGE);
    return;
  }
  const stale = [...staleCopies(), ...(await staleFiles())];
  if (stale.length === 0) return;
  console.error(`Stale: ${stale.join(", ")}. Run npm run codegen in packages/convex.`);
  process.exitCode = 1;
}

if (process.argv[1] === import.meta.filename) await main();
