/** What has to change in code that was written for the systems that are replaced. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, test } from "vitest";

const PACKAGE = path.join(import.meta.dirname, "../..");
const SEEDS = path.join(PACKAGE, "compat/seeds/convex");
const PEERS = path.join(PACKAGE, "compat/peers");
const COPY = path.join(PACKAGE, "tmp", `peers-${process.pid}`);

afterAll(() => {
  rmSync(COPY, { recursive: true, force: true });
});

/** What the compiler says of a project; nothing when it is content. */
function compile(project: string): string {
  const tsc = path.join(PACKAGE, "../../node_modules/typescript/bin/tsc");
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, "-p", project], {
    encoding: "utf8",
  });
  return status === 0 ? "" : `${stdout}${stderr}`;
}

/** The lines that the snippets changed: what they were. */
function changes(): string[] {
  const files = readdirSync(SEEDS).filter((file) => file.endsWith(".ts"));
  return files.flatMap((file) =>
    readFileSync(path.join(SEEDS, file), "utf8")
      .split("\n")
      .filter((line) => line.includes("// was: "))
      .map((line) => `${file}: ${line.replace(/^.*\/\/ was: /v, "")}`),
  );
}

test("every snippet compiles with the types of the components", () => {
  expect(compile(path.join(PACKAGE, "compat"))).toBe("");
}, 300_000);

test("but for import paths and names of components, the snippets changed in few places", () => {
  const others = changes().filter((line) => !/: import |: app\.use\(/v.test(line));
  expect(others).toEqual([
    // The snippet calls a service; a test cannot.
    'analytics.ts: await fetch("https://api.analytics.com/batch", { method: "POST", body: … });',
    // Public Convex API knows no call without `ctx`.
    "auth.ts: await emailPool.enqueueAction(internal.auth.sendEmailVerification, { userId });",
    "auth.ts: const status = await pool.status(id);",
    "auth.ts: const id = await pool.enqueueAction(api.foo.bar, args);",
    "auth.ts: const result = await pool.pollResult(id);",
    expect.stringMatching(/^migrations\.ts: console\.log/v),
    "weather.ts: await scrapePool.enqueueAction(internal.weather.scrape, { city });",
  ]);
});

test("an app of workpool 0.4.12 and batch-worker 0.3.4 compiles with those, and with ours", () => {
  expect(compile(PEERS)).toBe("");
  mkdirSync(COPY, { recursive: true });
  for (const file of readdirSync(PEERS).filter((name) => name.endsWith(".ts"))) {
    const text = readFileSync(path.join(PEERS, file), "utf8");
    // Nothing but the import path; `_generated` of ours is not built here.
    const ours = text
      .replaceAll("@convex-dev/workpool", "@batchwork/convex/pool")
      .replaceAll("@convex-dev/batch-worker", "@batchwork/convex/worker")
      .replaceAll(/@batchwork\/convex\/(?=\w+\/_generated)/gv, "../../src/");
    expect(ours).not.toBe(text);
    writeFileSync(path.join(COPY, file), ours);
  }
  const config = { extends: "../../compat/tsconfig.json", include: ["*.ts"] };
  writeFileSync(path.join(COPY, "tsconfig.json"), JSON.stringify(config));
  expect(compile(COPY)).toBe("");
}, 300_000);

test("the versions that it compiles with are those that it says", () => {
  const versionOf = (name: string): unknown =>
    (
      JSON.parse(
        readFileSync(path.join(PACKAGE, "../../node_modules", name, "package.json"), "utf8"),
      ) as { version: string }
    ).version;
  expect(versionOf("@convex-dev/workpool")).toBe("0.4.12");
  expect(versionOf("@convex-dev/batch-worker")).toBe("0.3.4");
});
