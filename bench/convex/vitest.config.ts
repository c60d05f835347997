/** Components and `convex-test` find their modules through Vite. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["bench/convex/measure.run.ts"],
    pool: "forks",
    // What peers ship for tests is raw TypeScript.
    server: { deps: { inline: [/@convex-dev\//v] } },
  },
});
