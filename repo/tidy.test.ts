/** The house rules, each proven to bite and then held against the whole repository. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT, repositoryFiles } from "./files.ts";
import { LAYER } from "./rules/layers.ts";
import { SHAPE } from "./rules/shape.ts";
import { TESTS } from "./rules/tests.ts";
import { TREE } from "./rules/tree.ts";

const files = repositoryFiles();

function read(name: string): unknown {
  return JSON.parse(readFileSync(path.join(ROOT, name), "utf8"));
}

describe.each([...SHAPE, ...LAYER, ...TESTS, ...TREE])("$name", (rule) => {
  test("bites on what it forbids and on nothing else", () => {
    for (const sample of rule.bad) {
      expect(rule.applies(sample.path), sample.path).toBe(true);
      expect(rule.check(sample), sample.text.slice(0, 200)).not.toEqual([]);
    }
    for (const sample of rule.good ?? []) {
      expect(rule.check(sample), sample.text.slice(0, 200)).toEqual([]);
    }
  });

  test("holds", () => {
    const exempt = rule.exempt ?? [];
    const broken = files
      .filter((file) => rule.applies(file.path))
      .flatMap((file) => rule.check(file).map((violation) => ({ path: file.path, violation })));
    const reported = broken
      .filter((one) => !exempt.includes(one.path))
      .map((one) => `${one.path}: ${one.violation}`);
    const needless = exempt.filter((name) => broken.every((one) => one.path !== name));
    expect(reported).toEqual([]);
    expect(needless, "exempt for no reason").toEqual([]);
  });
});

test("the rules see the repository", () => {
  const seen = files.map((file) => file.path);
  expect(seen).toContain("packages/batchwork/src/index.ts");
  expect(seen).toContain("repo/tidy.test.ts");
  expect(seen).toContain("README.md");
});

test("every package with an install script is approved or denied by name", () => {
  const { allowScripts } = read("package.json") as { allowScripts: Record<string, boolean> };
  const { packages } = read("package-lock.json") as {
    packages: Record<string, { hasInstallScript?: boolean }>;
  };
  const scripted = Object.entries(packages)
    .filter(([, one]) => one.hasInstallScript)
    .map(([at]) => at.replace(/^.*node_modules\//v, ""));
  expect(scripted.filter((name) => !(name in allowScripts))).toEqual([]);
});

test("tests run on the Node of devDependencies, whatever the host has", () => {
  const { devDependencies } = read("package.json") as {
    devDependencies: Record<string, string>;
  };
  expect(process.version).toBe(`v${devDependencies["node"]}`);
});
