/** The code in the documents compiles, the README has what Convex's directory asks for. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, test } from "vitest";

const PACKAGE = path.join(import.meta.dirname, "../..");
const COPY = path.join(PACKAGE, "tmp", `documents-${process.pid}`);

const DOCUMENTS = [
  "README.md",
  ...readdirSync(path.join(PACKAGE, "docs")).map((name) => `docs/${name}`),
];

/** What an app has beside the snippets. Its own functions may be any. */
const GENERATED = {
  "server.ts": `
    import { actionGeneric, internalActionGeneric, mutationGeneric, queryGeneric } from "convex/server";
    export {
      actionGeneric as action,
      internalActionGeneric as internalAction,
      mutationGeneric as mutation,
      queryGeneric as query,
    };
  `,
  "api.ts": `
    import { anyApi } from "convex/server";
    import type { ComponentApi as Batch } from "../../../src/batch/_generated/component.js";
    import type { ComponentApi as Pool } from "../../../src/pool/_generated/component.js";
    import type { ComponentApi as Worker } from "../../../src/worker/_generated/component.js";
    export const internal: any = anyApi;
    export declare const components: {
      batch: Batch;
      pool: Pool;
      worker: Worker;
      emailWorkpool: Pool;
      workpool: { lib: Pick<Pool["lib"], "status" | "cancel"> };
    };
  `,
};

afterAll(() => {
  rmSync(COPY, { recursive: true, force: true });
});

function textOf(document: string): string {
  return readFileSync(path.join(PACKAGE, document), "utf8");
}

/** All snippets of a document, in order, as one module; the imports of later ones join the first. */
function programOf(document: string): string {
  const blocks = [...textOf(document).matchAll(/^```ts\n(.*?)^```$/gmsv)].map(
    ([, code = ""]) => code,
  );
  return `${blocks.join("\n")}\nexport {};\n`;
}

test("the snippets of every document compile", () => {
  mkdirSync(path.join(COPY, "_generated"), { recursive: true });
  for (const [name, text] of Object.entries(GENERATED)) {
    writeFileSync(path.join(COPY, "_generated", name), text);
  }
  for (const document of DOCUMENTS) {
    const code = programOf(document);
    writeFileSync(path.join(COPY, `${path.basename(document, ".md")}.ts`), code);
  }
  const config = { extends: "../../compat/tsconfig.json", include: ["**/*.ts"] };
  writeFileSync(path.join(COPY, "tsconfig.json"), JSON.stringify(config));
  const tsc = path.join(PACKAGE, "../../node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", COPY], { encoding: "utf8" });
  expect(stdout).toBe("");
}, 300_000);

test("the README is short, begins with code, and says what of it the directory shows", () => {
  const text = textOf("README.md");
  const words = text.split(/\s+/v).filter((word) => /\w/v.test(word));
  expect(words.length).toBeLessThanOrEqual(450);
  expect(text.split("\n").findIndex((line) => line.startsWith("```"))).toBeLessThan(15);
  expect(text).toContain("<!-- START: Include on https://convex.dev/components -->");
  expect(text).toContain("<!-- END: Include on https://convex.dev/components -->");
});

test("every link of the documents leads to a file, and every document is linked", () => {
  const linked = new Set<string>();
  for (const document of DOCUMENTS) {
    for (const [, target = ""] of textOf(document).matchAll(/\]\((?!https?:)([^\)#]+)/gv)) {
      const file = path.join(path.dirname(document), target);
      expect(existsSync(path.join(PACKAGE, file)), `${document}: ${target}`).toBe(true);
      linked.add(file);
    }
  }
  expect(DOCUMENTS.slice(1).filter((document) => !linked.has(document))).toEqual([]);
});

test("every guarantee names tests, and each of them exists", () => {
  const [, ...sections] = textOf("docs/guarantees.md").split(/^## /mv);
  for (const section of sections) {
    const proofs = [...section.matchAll(/^- `(.+?) › (.+)`$/gmv)];
    expect(proofs.length, section).toBeGreaterThan(0);
    const missing = proofs.filter(
      ([, file = "", title = ""]) => !textOf(file).includes(`"${title}"`),
    );
    expect(missing.map(([proof]) => proof)).toEqual([]);
  }
});
