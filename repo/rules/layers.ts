/** Who may import whom, what the core may not do, and the one door to time and chance. */
import path from "node:path/posix";
import { CONVEX, SRC, isConvexSource, isSource, source } from "./rule.ts";
import type { Rule, TextFile } from "./rule.ts";
import { importsOf, isReference, memberOf, nameOf, placesOf } from "./syntax.ts";

/** What each folder may import: folders and files below `src/`, and modules from outside. */
interface Layer {
  readonly folder: string;
  readonly inside: readonly string[];
  readonly outside: readonly RegExp[];
}

/** The storage port, which is specified in several files. */
const PORT = [
  "storage/storage.ts",
  "storage/keyed.ts",
  "storage/preparation.ts",
  "storage/throttling.ts",
  "storage/deduplication.ts",
  "storage/history.ts",
  "storage/results.ts",
  "storage/parts.ts",
  "storage/pending.ts",
  "storage/retention.ts",
  "storage/definitions.ts",
  "storage/pools.ts",
  "storage/tables.ts",
  "storage/loops.ts",
  "storage/loop-dead.ts",
];

/** What both databases share besides. */
const BOTH = [
  "storage/promotion.ts",
  "storage/promoted-tasks.ts",
  "storage/letters.ts",
  "storage/callback-chunks.ts",
];

/** The first that fits is taken. */
const LAYERS: readonly Layer[] = [
  { folder: "core/", inside: ["core/"], outside: [] },
  {
    folder: "storage/sqlite/",
    inside: ["core/", ...PORT, ...BOTH, "storage/sqlite/"],
    outside: [/^node:sqlite$/v],
  },
  {
    folder: "storage/postgres/",
    inside: ["core/", ...PORT, ...BOTH, "storage/postgres/"],
    outside: [/^pg$/v, /^node:crypto$/v],
  },
  {
    folder: "storage/memory/",
    inside: ["core/", ...PORT, "storage/callback-chunks.ts", "storage/memory/"],
    outside: [],
  },
  { folder: "storage/", inside: ["core/", ...PORT, "storage/promotion.ts"], outside: [] },
  {
    // The engine itself keeps `persist: false` batches in the memory storage.
    folder: "runtime/",
    inside: ["core/", "runtime/", ...PORT, "storage/memory/"],
    outside: [/^node:/v, /^devalue$/v, /^@opentelemetry\/api$/v],
  },
  {
    folder: "promote/",
    inside: ["core/", "promote/", "runtime/clock.ts", "storage/promotion.ts"],
    outside: [/^node:crypto$/v],
  },
  { folder: "testing/", inside: [""], outside: [/^node:/v] },
  { folder: "", inside: [""], outside: [] },
];

function brokenImports(file: TextFile, here: string, layers: readonly Layer[]): string[] {
  const layer = layers.find(({ folder }) => here.startsWith(folder));
  return importsOf(file).flatMap(({ from, line }) => {
    if (!from.startsWith(".")) {
      return layer?.outside.some((one) => one.test(from)) ? [] : [`line ${line}: ${from}`];
    }
    const target = path.join(path.dirname(here), from);
    const allowed = layer?.inside.some((one) => target.startsWith(one)) ?? false;
    return allowed && !target.startsWith("..") ? [] : [`line ${line}: ${from}`];
  });
}

const imports: Rule = {
  name: "imports point downward",
  applies: isSource,
  check: (file) => brokenImports(file, file.path.slice(SRC.length), LAYERS),
  bad: [
    source("core/a.ts", 'import { join } from "node:path";'),
    source("core/a.ts", 'import { stringify } from "devalue";'),
    source("core/a.ts", 'import type { Storage } from "../storage/storage.ts";'),
    source("core/a.ts", 'const later = import("node:fs");'),
    source("core/a.ts", 'export * from "../runtime/clock.ts";'),
    source("storage/storage.ts", 'import { clock } from "../runtime/clock.ts";'),
    source("storage/memory/a.ts", 'import { DatabaseSync } from "node:sqlite";'),
    source("storage/sqlite/a.ts", 'import { heap } from "../memory/heap.ts";'),
    source("storage/postgres/a.ts", 'import { groups } from "../sqlite/groups.ts";'),
    source("runtime/a.ts", 'import { sqlite } from "../storage/sqlite/index.ts";'),
    source("runtime/a.ts", 'import { manualClock } from "../testing/manual-clock.ts";'),
    source("runtime/a.ts", 'import chalk from "chalk";'),
    source("promote/a.ts", 'import { sqlite } from "../storage/sqlite/index.ts";'),
    source("testing/a.ts", 'import { main } from "../../../../sim/main.ts";'),
  ],
  good: [
    source("storage/sqlite/a.ts", 'import { DatabaseSync } from "node:sqlite";'),
    source("storage/postgres/a.ts", 'const { default: pg } = await import("pg");'),
    source("runtime/a.ts", 'import { memory } from "../storage/memory/index.ts";'),
    source("core/a.ts", 'import { b } from "./b.ts";'),
  ],
};

/** The same for the Convex package. A component runs where there is no Node. */
const CONVEX_OUTSIDE = [/^convex\/(?:server|values)$/v];

const CONVEX_LAYERS: readonly Layer[] = [
  { folder: "core/", inside: ["core/"], outside: [] },
  { folder: "base/", inside: ["core/", "base/"], outside: CONVEX_OUTSIDE },
  ...["batch/", "pool/", "worker/"].map((folder) => ({
    folder,
    inside: ["core/", "base/", folder],
    outside: CONVEX_OUTSIDE,
  })),
  { folder: "test/", inside: [""], outside: [...CONVEX_OUTSIDE, /^convex-test$/v] },
  { folder: "", inside: [""], outside: CONVEX_OUTSIDE },
];

const convexImports: Rule = {
  name: "imports of the Convex package point downward, and none of them needs Node",
  applies: isConvexSource,
  check: (file) => brokenImports(file, file.path.slice(CONVEX.length), CONVEX_LAYERS),
  bad: [
    { path: `${CONVEX}core/a.ts`, text: 'import { v } from "convex/values";' },
    { path: `${CONVEX}base/a.ts`, text: 'import { loop } from "../pool/loop.js";' },
    { path: `${CONVEX}pool/a.ts`, text: 'import schema from "../worker/schema.js";' },
    { path: `${CONVEX}pool/a.ts`, text: 'import { Buffer } from "node:buffer";' },
    { path: `${CONVEX}client/a.ts`, text: 'import { Batchwork } from "batchwork";' },
  ],
  good: [
    { path: `${CONVEX}client/a.ts`, text: 'import type { A } from "../pool/_generated/api.js";' },
  ],
};

const synchronousCore: Rule = {
  name: "nothing in core is asynchronous",
  applies: (file) => isSource(file) && file.startsWith(`${SRC}core/`),
  check: (file) =>
    placesOf(file).flatMap(({ node, line }) => {
      if (node["async"] === true) return [`line ${line}: async`];
      if (node.type === "AwaitExpression") return [`line ${line}: await`];
      return nameOf(node) === "Promise" ? [`line ${line}: Promise`] : [];
    }),
  bad: [
    source("core/a.ts", "async function f() {}"),
    source("core/b.ts", "const a = { async f() {} };"),
    source("core/c.ts", "await f();"),
    source("core/d.ts", "type A = Promise<void>;"),
  ],
};

/** Time, timers and chance come through here, so a test or the simulator can replace them. */
const DOOR = `${SRC}runtime/clock.ts`;

const DOOR_MEMBERS = new Set([
  "Date.now",
  "performance.now",
  "performance.timeOrigin",
  "process.hrtime",
  "process.nextTick",
  "process.uptime",
  "Math.random",
  "crypto.randomUUID",
  "crypto.randomBytes",
  "crypto.randomInt",
  "crypto.getRandomValues",
]);

const DOOR_NAMES = new Set([
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "performance",
]);

const DOOR_MODULES = /^node:(?:timers|timers\/promises|perf_hooks)$/v;

const oneDoor: Rule = {
  name: "time, timers and chance come through runtime/clock.ts",
  applies: (file) => isSource(file) && file !== DOOR,
  check: (file) => {
    const calls = placesOf(file).flatMap((place) => {
      const { node, line } = place;
      const member = memberOf(node);
      if (member !== undefined && DOOR_MEMBERS.has(member)) return [`line ${line}: ${member}`];
      const property = /^globalThis\.(?<name>\w+)$/v.exec(member ?? "")?.groups?.["name"] ?? "";
      if (DOOR_NAMES.has(property)) return [`line ${line}: ${member}`];
      if (node.type === "NewExpression" && nameOf(node["callee"]) === "Date") {
        return (node["arguments"] as unknown[]).length === 0 ? [`line ${line}: new Date()`] : [];
      }
      const name = nameOf(node) ?? "";
      return DOOR_NAMES.has(name) && isReference(place) ? [`line ${line}: ${name}`] : [];
    });
    const modules = importsOf(file).flatMap(({ from, names, line }) =>
      DOOR_MODULES.test(from) ||
      (from === "node:crypto" && names.some((name) => /^(?:random|\*$|webcrypto)/v.test(name)))
        ? [`line ${line}: ${from}`]
        : [],
    );
    return [...calls, ...modules];
  },
  bad: [
    source("runtime/a.ts", "const at = Date.now();"),
    source("runtime/a.ts", "const at = new Date();"),
    source("runtime/a.ts", "const at = performance.now();"),
    source("runtime/a.ts", "const at = process.hrtime.bigint();"),
    source("runtime/a.ts", "const roll = Math.random();"),
    source("runtime/a.ts", "const id = crypto.randomUUID();"),
    source("runtime/a.ts", 'import { randomUUID } from "node:crypto";'),
    source("runtime/a.ts", 'import { setTimeout as sleep } from "node:timers/promises";'),
    source("runtime/a.ts", "setTimeout(f, 10);"),
    source("runtime/a.ts", "globalThis.setInterval(f, 10);"),
    source("runtime/a.ts", "const later = setImmediate;"),
    source("runtime/a.ts", "queueMicrotask(f);"),
    source("runtime/a.ts", "process.nextTick(f);"),
  ],
  good: [
    source("runtime/a.ts", "const at = new Date(row.at);"),
    source("runtime/a.ts", "const timer = clock.setTimeout(f, 10);"),
    source("runtime/a.ts", 'import { createHash } from "node:crypto";'),
  ],
};

const environment: Rule = {
  name: "the sources read no environment variable and print nothing",
  applies: isSource,
  check: (file) =>
    placesOf(file).flatMap(({ node, line }) => {
      const member = memberOf(node) ?? "";
      return member === "process.env" ||
        (member.startsWith("console.") && !/logger/v.test(file.path))
        ? [`line ${line}: ${member}`]
        : [];
    }),
  bad: [
    source("runtime/a.ts", "const path = process.env.BATCHWORK_PATH;"),
    source("runtime/a.ts", 'console.log("here");'),
  ],
};

export const LAYER: readonly Rule[] = [
  imports,
  convexImports,
  synchronousCore,
  oneDoor,
  environment,
];
