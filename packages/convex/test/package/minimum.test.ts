/** The components' own tests, once more, with exactly the oldest Convex that the package allows. */
import { spawn } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";

const PACKAGE = path.join(import.meta.dirname, "../..");

interface Run {
  readonly code: number | null;
  readonly output: string;
}

/** A run of its own: which Convex is imported is decided once per run. */
async function runTests(): Promise<Run> {
  const vitest = path.join(PACKAGE, "../../node_modules/vitest/vitest.mjs");
  const args = ["run", "--root", PACKAGE, "--config", "vitest.minimum.config.ts", "--silent"];
  const child = spawn(process.execPath, [vitest, ...args], {
    cwd: PACKAGE,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output.push(text);
    });
  }
  const code = await new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  return { code, output: output.join("") };
}

test("every test of the components passes with the oldest Convex that is allowed", async () => {
  const { code, output } = await runTests();
  expect(code, output).toBe(0);
  expect(output).toMatch(/Tests +\d+ passed/v);
}, 1_200_000);
