/** What is generated or copied in the Convex package is what its sources say. */
import { expect, test } from "vitest";
import { staleCopies } from "../packages/convex/codegen/core.ts";
import { staleFiles } from "../packages/convex/codegen/main.ts";

test("the core that the components share is the core", () => {
  expect(staleCopies()).toEqual([]);
});

test("the generated code of the components and of the example app is fresh", async () => {
  expect(await staleFiles()).toEqual([]);
}, 180_000);
