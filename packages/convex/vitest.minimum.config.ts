/** The tests of the components on the oldest Convex that the package allows. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: [{ find: /^convex(?=\/|$)/v, replacement: "convex-minimum" }] },
  test: {
    include: ["test/{batch,example,pool,worker}/**/*.test.ts"],
    pool: "forks",
    // Their own imports of Convex are to be the same.
    server: { deps: { inline: [/convex-test/v, /convex-minimum/v, /convex-helpers/v] } },
    testTimeout: 30_000,
  },
});
