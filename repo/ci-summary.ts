/** Reads Vitest's JSON report and closes a run with its counts. Skipped tests are named. */
import { readFileSync } from "node:fs";

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly name: string;
    readonly status: string;
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string;
      readonly status: string;
    }>;
  }>;
}

const text = readFileSync(process.argv[2] ?? "", "utf8");
if (text === "") throw new Error("The test run left no report.");
const { testResults: files } = JSON.parse(text) as Report;
const tests = files.flatMap((file) => file.assertionResults);
const passed = tests.filter((one) => one.status === "passed");
const failed = tests.filter((one) => one.status === "failed");
const skipped = tests.filter((one) => one.status !== "passed" && one.status !== "failed");
// A file that does not load has no tests of its own to count.
const broken = files.filter(
  (file) =>
    file.status === "failed" && file.assertionResults.every((one) => one.status !== "failed"),
);
for (const file of broken) console.log(`did not run: ${file.name}`);
for (const one of failed) console.log(`failed: ${one.fullName}`);
for (const one of skipped) console.log(`skipped: ${one.fullName}`);
const failures = failed.length + broken.length;
console.log(`${passed.length} passed, ${failures} failed, ${skipped.length} skipped`);
process.exitCode = failures > 0 || passed.length === 0 ? 1 : 0;
