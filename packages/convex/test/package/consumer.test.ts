/** The package as it is installed: built, without sources of ours beside it, in a strict app. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";

const PACKAGE = path.join(import.meta.dirname, "../..");
const ROOT = path.join(PACKAGE, "../..");
const APP = path.join(PACKAGE, "tmp", `consumer-${process.pid}`);
const INSTALLED = path.join(APP, "node_modules/@batchwork/convex");

function compile(args: readonly string[]): string {
  const tsc = path.join(ROOT, "node_modules/typescript/bin/tsc");
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...args], {
    cwd: APP,
    encoding: "utf8",
  });
  return status === 0 ? "" : `${stdout}${stderr}`;
}

/** What an app may say of the package: every entry, and the types that are spelled out. */
const SOURCES = {
  "convex.config.ts": `
    import { defineApp } from "convex/server";
    import pool from "@batchwork/convex/pool/convex.config";
    import worker from "@batchwork/convex/worker/convex.config.js";
    import batch from "@batchwork/convex/batch/convex.config.js";
    const app = defineApp();
    app.use(pool);
    app.use(worker);
    app.use(batch);
    export default app;
  `,
  "jobs.ts": `
    import { makeFunctionReference, mutationGeneric } from "convex/server";
    import { v } from "convex/values";
    import { Workpool, vWorkId, type RunResult, type WorkId } from "@batchwork/convex/pool";
    import type { ComponentApi } from "@batchwork/convex/pool/_generated/component.js";
    declare const components: { pool: ComponentApi<"pool"> };
    const pool = new Workpool(components.pool, { maxParallelism: 3 });
    const send = makeFunctionReference<"action", { to: string }, number>("mail:send");
    export const ended = pool.defineOnComplete({
      context: v.string(),
      returnValue: v.number(),
      handler: async (_, { context, result }) => {
        const text: string = context;
        if (result.kind === "success") console.log(text, result.returnValue.toFixed());
      },
    });
    export const enqueue = mutationGeneric({
      args: { to: v.string() },
      returns: vWorkId,
      handler: async (ctx, { to }): Promise<WorkId> => pool.enqueueAction(ctx, send, { to }),
    });
    export const kindOf = (result: RunResult): string => result.kind;
  `,
  "events.ts": `
    import { makeFunctionReference, mutationGeneric, queryGeneric } from "convex/server";
    import { v } from "convex/values";
    import {
      BatchProcessor,
      failItems,
      type BatchExplanation,
      type DeadLetter,
      type ItemFailures,
    } from "@batchwork/convex/batch";
    import type { ComponentApi } from "@batchwork/convex/batch/_generated/component";
    interface Event { name: string; site?: string }
    declare const components: { batch: ComponentApi<"batch"> };
    const processBatch = makeFunctionReference<"action", { items: Event[] }, ItemFailures>("e:send");
    const events: BatchProcessor<Event> = new BatchProcessor<Event>(components.batch, {
      maxBatchSize: 100,
      flushIntervalMs: 1000,
      processBatch,
      groupBy: ({ site = "" }) => site,
      deduplicateBy: ({ name }) => (name === "" ? undefined : name),
      throttle: { max: 1, duration: 1000 },
    });
    export const failures: ItemFailures = failItems([{ index: 0, error: new Error("no") }]);
    export const track = mutationGeneric({
      args: { name: v.string() },
      handler: async (ctx, { name }) => {
        const { duplicates = 0 } = await events.addItems(ctx, "events", [{ name }]);
        await events.update(ctx, "events", { flushIntervalMs: null, maxBatchSize: 10 });
        return duplicates;
      },
    });
    export const look = queryGeneric({
      args: {},
      handler: async (ctx) => {
        const why: BatchExplanation = await events.explain(ctx, "events");
        const [letter]: DeadLetter<Event>[] = await events.deadLetters(ctx, "events");
        return [why.text, letter?.item.name ?? "none"];
      },
    });
  `,
  "loop.ts": `
    import { mutationGeneric, type FunctionReference } from "convex/server";
    import { defineBatchWorkerValidators, ping, type BatchQueryArgs } from "@batchwork/convex/worker";
    import type { ComponentApi } from "@batchwork/convex/worker/_generated/component.js";
    declare const components: { worker: ComponentApi };
    declare const workQuery: FunctionReference<
      "query",
      "internal",
      BatchQueryArgs<number>,
      { batch: { n: number }; cursor: number } | { kind: "idle" }
    >;
    declare const workerMutation: FunctionReference<"mutation", "internal", { n: number }, null>;
    export const start = mutationGeneric({
      args: {},
      handler: (ctx) => ping(ctx, components.worker, { name: "a", workQuery, workerMutation }),
    });
    export const validators: object = defineBatchWorkerValidators({ batch: {} });
  `,
  "jobs.test.ts": `
    import { register } from "@batchwork/convex/pool/test";
    export const use: unknown = register;
  `,
};

const TSCONFIG = {
  compilerOptions: {
    noEmit: true,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    verbatimModuleSyntax: true,
    skipLibCheck: false,
    module: "esnext",
    moduleResolution: "bundler",
    target: "es2024",
    lib: ["es2024", "es2025", "dom"],
    types: [],
  },
  include: ["*.ts"],
};

beforeAll(() => {
  mkdirSync(INSTALLED, { recursive: true });
  cpSync(path.join(PACKAGE, "package.json"), path.join(INSTALLED, "package.json"));
  cpSync(path.join(PACKAGE, "src"), path.join(INSTALLED, "src"), { recursive: true });
  const project = path.join(PACKAGE, "tsconfig.build.json");
  const broken = compile(["-p", project, "--outDir", path.join(INSTALLED, "dist")]);
  if (broken !== "") throw new Error(broken);
  for (const [name, text] of Object.entries(SOURCES)) writeFileSync(path.join(APP, name), text);
  writeFileSync(path.join(APP, "tsconfig.json"), JSON.stringify(TSCONFIG));
}, 180_000);

afterAll(() => {
  rmSync(APP, { recursive: true, force: true });
});

test.each(["convex", "convex-minimum"])(
  "a strict app compiles against it, with %s",
  (name) => {
    const link = path.join(APP, "node_modules/convex");
    rmSync(link, { force: true });
    symlinkSync(path.join(ROOT, "node_modules", name), link);
    expect(compile(["-p", APP])).toBe("");
  },
  180_000,
);

/** What there is of each component. */
const ENTRIES = [
  "",
  "/convex.config",
  "/convex.config.js",
  "/test",
  "/_generated/component",
  "/_generated/component.js",
];

/** All that `exports` names, whatever the condition. */
function targetsOf(entry: unknown): string[] {
  if (typeof entry === "string") return [entry];
  return Object.values(entry as Record<string, unknown>).flatMap(targetsOf);
}

test("everything that an app may import is in the package, and nothing else can be imported", () => {
  const { exports, files } = JSON.parse(
    readFileSync(path.join(PACKAGE, "package.json"), "utf8"),
  ) as { exports: Record<string, unknown>; files: string[] };
  const ofEach = ["batch", "pool", "worker"].flatMap((name) =>
    ENTRIES.map((entry) => `./${name}${entry}`),
  );
  expect(Object.keys(exports).toSorted()).toEqual([".", ...ofEach, "./package.json"].toSorted());
  const missing = targetsOf(exports).filter((file) => !existsSync(path.join(INSTALLED, file)));
  expect(missing).toEqual([]);
  expect(files).toEqual(["dist", "src"]);
});

test("it is tested with exactly the oldest Convex that it allows", () => {
  const read = (file: string): { version: string; peerDependencies: { convex: string } } =>
    JSON.parse(readFileSync(file, "utf8")) as ReturnType<typeof read>;
  const { version } = read(path.join(ROOT, "node_modules/convex-minimum/package.json"));
  const { peerDependencies } = read(path.join(PACKAGE, "package.json"));
  expect(peerDependencies.convex).toBe(`>=${version}`);
});

test("nothing that an app bundles asks for Node, or for a package but Convex", async () => {
  const entries = ["pool", "worker", "batch"].flatMap((name) => [
    `dist/client/${name}.js`,
    `dist/${name}/lib.js`,
    `dist/${name}/convex.config.js`,
  ]);
  const { metafile } = await build({
    entryPoints: entries.map((entry) => path.join(INSTALLED, entry)),
    outdir: path.join(APP, "out"),
    bundle: true,
    write: false,
    metafile: true,
    platform: "browser",
    format: "esm",
    external: ["convex/*"],
  });
  const outside = Object.values(metafile.inputs)
    .flatMap(({ imports }) => imports)
    .filter(({ external }) => external === true)
    .map(({ path: from }) => from);
  expect(outside).not.toEqual([]);
  expect(outside.filter((from) => !from.startsWith("convex/"))).toEqual([]);
}, 60_000);
