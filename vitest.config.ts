import { defaultClientConditions, defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

/** As Node resolves: it does not know `module`, by which bundlers ask for code that it cannot run. */
const SERVER = defaultServerConditions.filter((condition) => condition !== "module");

/** Resolves `batchwork` to its sources, unbuilt, here and in every child process. */
const SOURCE = "batchwork-source";

export default defineConfig({
  resolve: { conditions: [SOURCE, ...defaultClientConditions] },
  ssr: { resolve: { conditions: [SOURCE, ...SERVER] } },
  test: {
    include: ["packages/*/test/**/*.test.ts", "{sim,chaos,examples,bench,repo}/**/*.test.ts"],
    // Real SQLite files, signals and child processes want a process of their own per file.
    pool: "forks",
    // One PostgreSQL server for the run, when files of the run need one.
    globalSetup: ["packages/batchwork/test/postgres/global-setup.ts"],
    maxWorkers: 2,
    execArgv: [`--conditions=${SOURCE}`],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // However slow the machine is: what is waited for comes, or the test is wrong.
    expect: { poll: { timeout: 30_000 } },
    coverage: {
      provider: "v8",
      include: ["packages/batchwork/src/core/**"],
      reporter: ["text-summary", "html"],
      thresholds: { branches: 100, functions: 100, lines: 100, statements: 100 },
    },
  },
});
