/** The rules that Convex has for code that runs in it hold for the components and the example. */
import { createRequire, registerHooks } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { ESLint, Linter } from "eslint";
import { afterAll, beforeAll, expect, test } from "vitest";

const PACKAGE = path.join(import.meta.dirname, "../..");

/** Every rule of the plugin that a component can keep, as an error. */
const RULES = [
  "no-old-registered-function-syntax",
  "require-args-validator",
  "explicit-table-ids",
  "no-filter-in-query",
  "no-schema-import-cycle",
  "no-duplicate-indexes",
  "no-process-env",
  "import-wrong-runtime",
];

let linter: ESLint;

// The parser is written against the compiler's JavaScript, which is this package's own version of
// it: that of the repository has none.
const compiler = createRequire(import.meta.url).resolve("typescript");
const hooks = registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "typescript"
      ? { url: pathToFileURL(compiler).href, format: "commonjs", shortCircuit: true }
      : next(specifier, context),
});

beforeAll(async () => {
  const eslint = await import("eslint");
  const { default: plugin } = await import("@convex-dev/eslint-plugin");
  const parser = await import("@typescript-eslint/parser");
  const config: Linter.Config = {
    files: ["**/*.ts"],
    plugins: { "@convex-dev": plugin as never },
    languageOptions: {
      parser,
      parserOptions: { project: "tsconfig.lint.json", tsconfigRootDir: PACKAGE },
    },
    linterOptions: { reportUnusedDisableDirectives: "off" },
    rules: Object.fromEntries(RULES.map((rule) => [`@convex-dev/${rule}`, "error"])),
  };
  linter = new eslint.ESLint({
    cwd: PACKAGE,
    overrideConfigFile: true,
    overrideConfig: [config],
    ignorePatterns: ["**/_generated/**"],
    allowInlineConfig: false,
  });
}, 120_000);

afterAll(() => {
  hooks.deregister();
});

function messagesOf(results: readonly ESLint.LintResult[]): string[] {
  return results.flatMap(({ filePath, messages }) =>
    messages.map(({ line, ruleId, message }) => {
      return `${path.relative(PACKAGE, filePath)}:${line} ${ruleId}: ${message}`;
    }),
  );
}

test("the components and the example app keep the rules of the Convex linter", async () => {
  const files = ["src/{batch,pool,worker}/**/*.ts", "example/convex/**/*.ts"];
  const results = await linter.lintFiles(files);
  expect(results.length).toBeGreaterThan(20);
  expect(messagesOf(results)).toEqual([]);
}, 120_000);

test("the linter finds what breaks its rules", async () => {
  const code = `
    import { mutation } from "./_generated/server.js";
    export const remove = mutation({ handler: async (ctx) => ctx.db.query("gate").collect() });
  `;
  const filePath = path.join(PACKAGE, "src/pool/lib.ts");
  const messages = messagesOf(await linter.lintText(code, { filePath }));
  expect(messages.join("\n")).toContain("require-args-validator");
}, 120_000);
