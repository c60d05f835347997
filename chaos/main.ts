/**
 * The SIGKILL campaign: real processes on one SQLite file.
 *
 *   npm run chaos -- --kills 50 [--seed 1]
 *   npm run chaos -- --kills 50 --canary    does it wrong on purpose, and must fail
 */
import { parseArgs } from "node:util";

import { campaign } from "./campaign.ts";
import { isKept } from "./verdict.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    canary: { type: "boolean", default: false },
  },
});

const result = await campaign({
  kills: Number(values.kills),
  seed: Number(values.seed),
  canary: values.canary,
});
for (const [name, value] of Object.entries<number | string>({ ...result })) {
  const shown = typeof value === "number" ? Math.round(value * 10) / 10 : value;
  console.log(`${name.padEnd(16)} ${shown}`);
}
const kept = isKept(result);
console.log(
  kept ? "kept: nothing lost, nothing twice" : "BROKEN: see lost, duplicates and the rest",
);
process.exitCode = kept ? 0 : 1;
