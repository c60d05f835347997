/**
 * The code in the documents is code: the snippets of a document, in order, form one program that
 * type-checks, and the programs that need nothing of the reader's also run.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runNode, runProgram } from "./run-program.ts";

const TIMEOUT_MS = 60_000;
const root = join(import.meta.dirname, "..");
const documents = [
  "README.md",
  "docs/guides/start.md",
  "docs/guides/grouping.md",
  "docs/guides/failure.md",
  "docs/guides/idempotency.md",
  "docs/guides/results.md",
  "docs/guides/limits.md",
  "docs/guides/pools.md",
  "docs/guides/worker.md",
  "docs/guides/iterator.md",
  "docs/guides/from-oqronkit.md",
  "docs/guides/observability.md",
  "docs/guides/history.md",
  "docs/guides/validation.md",
  "docs/guides/postgres.md",
  "docs/guides/moving-to-postgres.md",
  "docs/guides/testing.md",
];

/** What the README's snippet takes for granted of the reader's own program. */
const READERS_OWN = `
interface AnalyticsEvent { event: string; userId: string }
declare const db: { insertMany(items: readonly AnalyticsEvent[]): Promise<void> };
`;

let dir: string;

beforeAll(() => {
  // Inside the repository, so that "batchwork" resolves as it does for the examples.
  mkdirSync(join(root, "tmp"), { recursive: true });
  dir = mkdtempSync(join(root, "tmp", "snippets-"));
});

afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** All `ts` blocks of a document as one module. */
function program(document: string): string {
  const text = readFileSync(join(root, document), "utf8");
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  return `${blocks.join("\n")}\nexport {};\n`;
}

test("the snippets of every document type-check", { timeout: TIMEOUT_MS }, async () => {
  for (const document of documents) {
    const code = program(document);
    expect(code).toContain('from "batchwork"');
    writeFileSync(join(dir, `${basename(document, ".md")}.ts`), code);
  }
  writeFileSync(join(dir, "readers-own.d.ts"), READERS_OWN);
  writeFileSync(
    join(dir, "tsconfig.json"),
    JSON.stringify({ extends: join(root, "tsconfig.json"), include: ["."], exclude: [] }),
  );
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { stdout } = await runNode([tsc, "--noEmit", "-p", dir], dir);
  // What is wrong in the sources is reported by the check of the sources.
  const wrong = stdout.split("\n").filter((line) => /^(?:[\w.\-]+\(|error)/v.test(line));
  expect(wrong).toEqual([]);
});

test("every guide is in the index of the guides, and its snippets are checked", () => {
  const folder = join(root, "docs", "guides");
  const index = readFileSync(join(folder, "README.md"), "utf8");
  const guides = readdirSync(folder).filter((name) => name !== "README.md");
  expect(guides.filter((name) => !index.includes(`](${name})`))).toEqual([]);
  expect(guides.filter((name) => !documents.includes(`docs/guides/${name}`))).toEqual([]);
});

test("the program of the start guide runs", { timeout: TIMEOUT_MS }, async () => {
  const file = join(dir, "run-start.ts");
  const check = `
    await pageViews.resume();
    await pageViews.drain();
    console.log(app.prepare("SELECT tenant, path FROM page_views ORDER BY tenant, path").all().length);
    console.log((await pageViews.status()).dead);
    await bw.stop();`;
  writeFileSync(file, program("docs/guides/start.md") + check);
  const printed = await runProgram(file, [], dir);
  expect(printed).toBe("4\n0\n");
});

test("the program of the testing guide runs", { timeout: TIMEOUT_MS }, async () => {
  const file = join(dir, "run-testing.ts");
  writeFileSync(file, program("docs/guides/testing.md"));
  const [drained, ok, text, ...rest] = (await runProgram(file, [], dir)).split("\n");
  expect([drained, ok]).toEqual(["true", "false"]);
  expect(text).toBe("verifyHandler: 12 of 15 runs left another state than a clean delivery.");
  expect(rest.slice(-3)).toEqual(["true", "false", ""]);
});
