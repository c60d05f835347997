/** Runs one row once, in a process and a directory of its own. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import type { CaseResult } from "./case.ts";
import type { ChildRequest } from "./child.ts";

/** What became of one run: its numbers, or why there are none. */
export type Run = { readonly result: CaseResult } | { readonly failure: string };

export interface RunOptions {
  readonly name: string;
  readonly items: number;
  readonly rounds: number;
  /** Where the directories of the runs are made; on the disk that is to be measured. */
  readonly root: string;
  /** Writes a CPU profile of the child there. */
  readonly profile?: string;
  /** URLs of databases, for rows on PostgreSQL. */
  readonly databases?: ChildRequest["databases"];
  /** The child is ended after this long. Default 120,000. */
  readonly timeoutMs?: number;
  /** What the child runs. Default: `child.ts`. */
  readonly script?: string;
}

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));
const NODE_OPTIONS = [
  "--conditions=batchwork-source",
  "--disable-warning=ExperimentalWarning",
  "--expose-gc",
];
const TIMEOUT_MS = 120_000;

export async function runCase(options: RunOptions): Promise<Run> {
  mkdirSync(options.root, { recursive: true });
  const directory = mkdtempSync(join(options.root, `${options.name}-`));
  try {
    const { name, items, rounds, databases } = options;
    const request: ChildRequest = {
      name,
      items,
      rounds,
      directory,
      ...(databases === undefined ? {} : { databases }),
    };
    const { code, signal, output, errors } = await execute(options, JSON.stringify(request));
    if (code !== 0) return { failure: reason(code, signal, errors) };
    return { result: JSON.parse(output) as CaseResult };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

async function execute(options: RunOptions, request: string): Promise<Ended> {
  const profiling =
    options.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.profile}`];
  const script = options.script ?? CHILD;
  const child = spawn(execPath, [...NODE_OPTIONS, ...profiling, script, request], {
    // Stripping types anew in every process would take longer than most of the rows.
    env: { ...process.env, NODE_COMPILE_CACHE: join(options.root, "compile-cache") },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const output: string[] = [];
  const errors: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output.push(text);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors.push(text);
  });
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  child.on("error", reject);
  child.on("close", (code, signal) => {
    resolve({ code, signal, output: output.join(""), errors: errors.join("") });
  });
  return promise;
}

function reason(code: number | null, signal: NodeJS.Signals | null, errors: string): string {
  if (signal !== null) return `ended by ${signal}: it took too long`;
  // Node's own code for a top-level await that nothing will ever resolve.
  if (code === 13) return "stopped with items undelivered";
  const message = /^(?:\w*Error.*): (.*)$/m.exec(errors);
  return message?.[0] ?? `exit code ${code}: ${errors.trim().slice(0, 500)}`;
}
