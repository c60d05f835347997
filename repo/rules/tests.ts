/** How tests are written. */
import { isTest } from "./rule.ts";
import type { Rule } from "./rule.ts";
import { importsOf, isNode, isReference, memberOf, nameOf, placesOf } from "./syntax.ts";
import type { Node, Place } from "./syntax.ts";

/** `test("…")`, `it("…")`, `test.each(…)("…")`: the title, when the node is such a call. */
function titleOf({ node }: Place): string | undefined {
  if (node.type !== "CallExpression") return undefined;
  let callee = node["callee"];
  while (isNode(callee) && callee.type !== "Identifier") {
    callee = callee.type === "MemberExpression" ? callee["object"] : callee["callee"];
  }
  if (nameOf(callee) !== "test" && nameOf(callee) !== "it") return undefined;
  const [first] = node["arguments"] as readonly Node[];
  return first?.type === "Literal" && typeof first["value"] === "string"
    ? first["value"]
    : undefined;
}

const titles: Rule = {
  name: "a test's title is unique in its file",
  applies: isTest,
  check: (file) => {
    const seen = new Set<string>();
    return placesOf(file).flatMap((place) => {
      const title = titleOf(place);
      if (title === undefined) return [];
      const again = seen.has(title);
      seen.add(title);
      return again ? [`line ${place.line}: "${title}"`] : [];
    });
  },
  bad: [
    { path: "a.test.ts", text: 'test("a", f); describe("b", () => { it("a", f); });' },
    { path: "a.test.ts", text: 'test.each([1])("a", f); test("a", f);' },
  ],
  good: [{ path: "a.test.ts", text: 'test("a", f); test("b", f); run("a", f);' }],
};

const expectations: Rule = {
  name: "a test file has tests, and they expect something",
  applies: isTest,
  check: (file) => {
    const places = placesOf(file);
    const expects = places.some(({ node }) => /^(?:expect|assert)/v.test(nameOf(node) ?? ""));
    const tests = places.some(
      ({ node }) =>
        node.type === "CallExpression" &&
        /^(?:test|it|storageConformance)\b/v.test(file.text.slice(node.start, node.end)),
    );
    return [...(expects ? [] : ["no expect"]), ...(tests ? [] : ["no test"])];
  },
  bad: [
    { path: "a.test.ts", text: 'test("a", () => { f(); });' },
    { path: "a.test.ts", text: "expect(1).toBe(1);" },
  ],
};

const noSleep: Rule = {
  name: "a test does not sleep",
  applies: isTest,
  check: (file) => [
    ...placesOf(file).flatMap((place) => {
      const name = nameOf(place.node) ?? "";
      return (/^(?:setTimeout|setInterval|sleep)$/v.test(name) && isReference(place)) ||
        memberOf(place.node) === "Atomics.wait"
        ? [`line ${place.line}: ${name || "Atomics.wait"}`]
        : [];
    }),
    ...importsOf(file)
      .filter(({ from }) => /^(?:node:)?timers(?:\/promises)?$/v.test(from))
      .map(({ from, line }) => `line ${line}: ${from}`),
  ],
  bad: [
    { path: "a.test.ts", text: "await new Promise((done) => setTimeout(done, 50));" },
    { path: "a.test.ts", text: 'import { setTimeout as wait } from "node:timers/promises";' },
    { path: "a.test.ts", text: "Atomics.wait(cells, 0, 0, 50);" },
  ],
  good: [{ path: "a.test.ts", text: "clock.setTimeout(f, 50);" }],
  exempt: [],
};

const noFocus: Rule = {
  name: "no test is focused",
  applies: isTest,
  check: (file) =>
    placesOf(file).flatMap(({ node, line }) => {
      const member = memberOf(node) ?? "";
      return /^(?:test|it|describe)\.only$/v.test(member) ? [`line ${line}: ${member}`] : [];
    }),
  bad: [{ path: "a.test.ts", text: 'test.only("a", f);' }],
};

export const TESTS: readonly Rule[] = [titles, expectations, noSleep, noFocus];
