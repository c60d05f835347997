/** GUARANTEES.md promises nothing without a test, and names no test that is not there. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
/** What the names of files on the page are relative to. */
const folders = [root, join(root, "packages", "batchwork")];

interface Guarantee {
  readonly name: string;
  readonly proofs: readonly { readonly file: string; readonly title: string }[];
}

/** The sections of the page, with their lines of the form - `file › title`. */
function guarantees(): Guarantee[] {
  const page = readFileSync(join(root, "GUARANTEES.md"), "utf8");
  const [, ...sections] = page.split(/^## /m);
  return sections.map((section) => ({
    name: section.slice(0, section.indexOf("\n")),
    proofs: [...section.matchAll(/^- `(.+?) › (.+)`$/gm)].map(([, file = "", title = ""]) => ({
      file,
      title,
    })),
  }));
}

test("every guarantee of this version is on the page", () => {
  expect(guarantees().map(({ name }) => name.split(" ")[0])).toEqual([
    "Durable",
    "G1",
    "G2",
    "G3",
    "G4",
    "G5",
    "G6",
    "G7",
    "G8",
    "G9",
    "G10",
    "Limits",
    "Worker",
  ]);
});

test.each(guarantees())("$name names tests that exist", ({ proofs }) => {
  expect(proofs.length).toBeGreaterThan(0);
  const missing = proofs.filter(
    ({ file, title }) => !folders.some((folder) => declaresTest(join(folder, file), title)),
  );
  expect(missing).toEqual([]);
});

function declaresTest(path: string, title: string): boolean {
  if (!existsSync(path)) return false;
  const text = readFileSync(path, "utf8");
  // A title may end in parameters of the run: `… (${RUNS} values)`.
  const ends = [`"${title}"`, `'${title}'`, `\`${title}\``, `\`${title} ($`];
  return ends.some((end) => text.includes(end));
}
