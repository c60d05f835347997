/** Sizes, names and the subset of TypeScript that is used. */
import path from "node:path";
import { CONVEX, SRC, isConvexSource, isSource, source } from "./rule.ts";
import type { Rule } from "./rule.ts";
import { isNode, placesOf } from "./syntax.ts";
import type { Node } from "./syntax.ts";

const FILE_LINES_MAX = 400;
const FILE_LINES_WANTED_MAX = 250;
const FUNCTION_LINES_MAX = 70;
const LINE_CHARS_MAX = 100;

/** Names that say nothing: what is in the file has a better one. */
const EMPTY_NAMES =
  /^(?:.*-)?(?:utils?|helpers?|types?|managers?|common|misc|shared|interfaces|constants|enums)$/v;

const NOT_ERASABLE: Readonly<Record<string, string>> = {
  TSEnumDeclaration: "an enum: write a union of strings",
  TSModuleDeclaration: "a namespace: write a module",
  TSParameterProperty: "a parameter property: write the field",
  TSImportEqualsDeclaration: "import =: write import … from",
  TSExportAssignment: "export =: write export",
  Decorator: "a decorator",
};

/** Written by hand and shipped. */
function isShipped(file: string): boolean {
  return isSource(file) || isConvexSource(file);
}

/** A module of a Convex component: its path is part of function names, which know no hyphen. */
const COMPONENT_MODULE = /^packages\/convex\/src\/(?:batch|pool|worker)\//v;

/** Convex looks for the default export of these. */
const CONVEX_DEFAULT = /^packages\/convex\/src\/\w+\/(?:convex\.config|schema)\.ts$/v;

function linesOf(text: string): string[] {
  return text.replace(/\n$/v, "").split("\n");
}

const fileLines: Rule = {
  name: `a file has at most ${FILE_LINES_MAX} lines`,
  applies: isShipped,
  check: ({ text }) => {
    const count = linesOf(text).length;
    return count > FILE_LINES_MAX ? [`${count} lines`] : [];
  },
  bad: [source("core/long.ts", "const a = 1;\n".repeat(FILE_LINES_MAX + 1))],
  good: [source("core/full.ts", "const a = 1;\n".repeat(FILE_LINES_MAX))],
};

const longFiles: Rule = {
  name: `a file of more than ${FILE_LINES_WANTED_MAX} lines is listed by name`,
  // A conformance suite is a list of cases.
  applies: (file) => isShipped(file) && !file.includes("/src/testing/"),
  check: ({ text }) => {
    const count = linesOf(text).length;
    return count > FILE_LINES_WANTED_MAX ? [`${count} lines`] : [];
  },
  bad: [source("core/long.ts", "const a = 1;\n".repeat(FILE_LINES_WANTED_MAX + 1))],
  exempt: [
    `${SRC}runtime/accumulator.ts`,
    `${SRC}runtime/engine.ts`,
    `${SRC}runtime/intake.ts`,
    `${SRC}runtime/iterator-chain.ts`,
    `${SRC}runtime/loop-runner.ts`,
    `${SRC}runtime/pool-runner.ts`,
    `${SRC}runtime/run.ts`,
    `${CONVEX}pool/execute.ts`,
    `${SRC}runtime/runner.ts`,
    `${SRC}storage/loops.ts`,
    `${SRC}storage/pools.ts`,
    `${SRC}storage/postgres/migrations/0001-initial/loops.ts`,
    `${SRC}core/options.ts`,
    `${SRC}storage/sqlite/migrations/0001-initial.ts`,
    `${SRC}storage/storage.ts`,
    ...["memory", "sqlite", "postgres"].map((storage) => `${SRC}storage/${storage}/storage.ts`),
    ...["memory", "sqlite", "postgres"].map((storage) => `${SRC}storage/${storage}/loops.ts`),
  ],
};

const lineChars: Rule = {
  name: `a line has at most ${LINE_CHARS_MAX} characters`,
  applies: isShipped,
  check: ({ text }) =>
    linesOf(text).flatMap((line, index) =>
      line.length > LINE_CHARS_MAX ? [`line ${index + 1}: ${line.length} characters`] : [],
    ),
  bad: [source("core/wide.ts", `// ${"x".repeat(LINE_CHARS_MAX)}`)],
};

const functionLines: Rule = {
  name: `a function has at most ${FUNCTION_LINES_MAX} lines`,
  // A conformance suite is one function of many small cases.
  applies: (file) => isShipped(file) && !file.includes("/src/testing/"),
  check: (file) =>
    placesOf(file).flatMap(({ node, line }) => {
      if (!/^(?:Function|ArrowFunction)/v.test(node.type)) return [];
      const count = linesOf(file.text.slice(node.start, node.end)).length;
      return count > FUNCTION_LINES_MAX ? [`line ${line}: ${count} lines`] : [];
    }),
  bad: [
    source("core/a.ts", `function f() {\n${"f();\n".repeat(FUNCTION_LINES_MAX)}}\n`),
    source("core/b.ts", `class A {\n  #f() {\n${"f();\n".repeat(FUNCTION_LINES_MAX)}}\n}\n`),
    source("core/c.ts", `const f = () => {\n${"f();\n".repeat(FUNCTION_LINES_MAX)}};\n`),
  ],
};

const fileNames: Rule = {
  name: "a file is named in kebab-case, for what is in it",
  applies: isShipped,
  check: (file) =>
    file.path.split("/").flatMap((part) => {
      const name = path.basename(part, part === "convex.config.ts" ? ".config.ts" : ".ts");
      if (name.includes("-") && COMPONENT_MODULE.test(file.path)) {
        return [`${part} is not one word`];
      }
      if (!/^[a-z0-9]+(?:-[a-z0-9]+)*$/v.test(name)) return [`${part} is not kebab-case`];
      return EMPTY_NAMES.test(name) ? [`${part} says nothing`] : [];
    }),
  bad: [
    source("core/batchState.ts", ""),
    source("core/utils.ts", ""),
    source("runtime/lease-manager.ts", ""),
    source("helpers/lease.ts", ""),
    { path: `${CONVEX}pool/settle-one.ts`, text: "" },
  ],
  good: [
    { path: `${CONVEX}client/batch-workpool.ts`, text: "" },
    { path: `${CONVEX}pool/convex.config.ts`, text: "" },
  ],
};

const erasable: Rule = {
  name: "only syntax that can be stripped, and no default export",
  applies: isShipped,
  check: (file) =>
    placesOf(file).flatMap(({ node, line }) => {
      if (node.type === "ExportDefaultDeclaration") {
        return CONVEX_DEFAULT.test(file.path) ? [] : [`line ${line}: a default export`];
      }
      const why = NOT_ERASABLE[node.type];
      return why === undefined ? [] : [`line ${line}: ${why}`];
    }),
  bad: [
    source("core/a.ts", "enum State { Open }"),
    source("core/b.ts", "namespace A { export const b = 1; }"),
    source("core/c.ts", "class A { constructor(readonly b: number) {} }"),
    source("core/d.ts", "export default 1;"),
    { path: `${CONVEX}pool/lib.ts`, text: "export default 1;" },
  ],
  good: [{ path: `${CONVEX}pool/schema.ts`, text: "export default 1;" }],
};

const SQL =
  /^\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|ALTER|DROP|PRAGMA|ATTACH|VACUUM|SAVEPOINT|RELEASE)\b/v;

const sql: Rule = {
  name: "SQL is put together in statements.ts and migrations alone",
  applies: (file) => isSource(file) && !/\/(?:statements\.ts|migrations(?:\.ts|\/.*))$/v.test(file),
  check: (file) =>
    placesOf(file).flatMap(({ node, line }) => {
      if (node.type !== "TemplateLiteral" || (node["expressions"] as unknown[]).length === 0) {
        return [];
      }
      const [first] = node["quasis"] as readonly Node[];
      const text = (first?.["value"] as { raw: string } | undefined)?.raw ?? "";
      return SQL.test(text) ? [`line ${line}: SQL with a value inside`] : [];
    }),
  bad: [
    source(
      "storage/sqlite/batch.ts",
      ["db.exec(`DELETE FROM batch WHERE id = $", "{id}`);"].join(""),
    ),
  ],
  good: [
    source("storage/sqlite/claim.ts", "db.exec(`DELETE FROM batch WHERE id = ?`);"),
    source("core/flush.ts", ["const a = `WITHOUT $", "{b}`;"].join("")),
  ],
};

const indexFiles: Rule = {
  name: "a public surface re-exports and does nothing else",
  applies: (file) => /\/src\/(?:core\/|testing\/)?index\.ts$/v.test(file),
  check: (file) => {
    const program = placesOf(file)[0]?.node;
    const body = (program?.["body"] as readonly Node[] | undefined) ?? [];
    return body.flatMap((node) =>
      node.type === "ExportAllDeclaration" ||
      (node.type === "ExportNamedDeclaration" && isNode(node["source"]))
        ? []
        : [`${node.type} at offset ${node.start}`],
    );
  },
  bad: [source("index.ts", "export const a = 1;"), source("core/index.ts", 'import "./a.ts";')],
  good: [source("index.ts", 'export { a } from "./a.ts";\nexport type { B } from "./b.ts";')],
};

export const SHAPE: readonly Rule[] = [
  fileLines,
  longFiles,
  lineChars,
  functionLines,
  fileNames,
  erasable,
  sql,
  indexFiles,
];
