/**
 * The campaigns: real processes on one database, and everything that may happen to them.
 *
 *   npm run chaos -- --kills 50 [--seed 1]                       SIGKILL on one SQLite file
 *   npm run chaos -- --fault disk-full [--rounds 20] [--seed 1]    a SQLite file that may not grow
 *   npm run chaos -- --fault clock [--rounds 200] [--seed 1]       wall clocks that jump by days
 *   npm run chaos -- --storage postgres [--rounds 20] [--seed 1]   every campaign on PostgreSQL
 *   npm run chaos -- --storage postgres --fault cut              one of them; "mixed": in turns
 *   npm run chaos -- --pool --kills 50 [--seed 1]                tasks of a pool under SIGKILL;
 *                                            with --storage postgres on a server
 *   npm run chaos -- --backfill [--rows 1000000] [--kills 50] [--pauses 20] [--seed 1]
 *                                            an iterator over a table that others change meanwhile
 *   npm run chaos -- --workers --kills 50 [--seed 1]             workers of two processes under SIGKILL
 *   npm run chaos -- --canary                                    does it wrong, and must fail
 */
import { parseArgs } from "node:util";

import { backfillCampaign, isProven } from "./backfill/campaign.ts";
import { campaign } from "./campaign.ts";
import { isKept as isPostgresKept, postgresCampaign } from "./postgres/campaign.ts";
import { isPoolKept, poolCampaign } from "./pool/campaign.ts";
import { Cluster } from "./postgres/cluster.ts";
import { FAULTS, type Fault } from "./postgres/faults.ts";
import { printFigures } from "./report.ts";
import { clockCampaign } from "./sqlite/clock-jumps.ts";
import { diskFullCampaign } from "./sqlite/disk-full.ts";
import { isKept as isLedgerKept } from "./sqlite/ledger.ts";
import { isKept } from "./verdict.ts";
import { isWorkersKept, workersCampaign } from "./workers/campaign.ts";

const { values } = parseArgs({
  options: {
    storage: { type: "string", default: "sqlite" },
    kills: { type: "string" },
    rounds: { type: "string" },
    fault: { type: "string" },
    seed: { type: "string", default: "1" },
    canary: { type: "boolean", default: false },
    backfill: { type: "boolean", default: false },
    rows: { type: "string", default: "1000000" },
    pauses: { type: "string", default: "20" },
    pool: { type: "boolean", default: false },
    workers: { type: "boolean", default: false },
  },
});
const { storage, canary } = values;
const seed = Number(values.seed);

// Whoever was started ends with this process.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** Which faults each campaign has. */
function chosen(): readonly (readonly [string, readonly Fault[]])[] {
  const name = values.fault ?? (values.kills === undefined ? undefined : "kill");
  if (name === "mixed") return [[name, FAULTS]];
  const named = FAULTS.filter((fault) => name === undefined || fault.name === name);
  if (named.length > 0) return named.map((fault) => [fault.name, [fault]]);
  const known = FAULTS.map((fault) => fault.name).join(", ");
  throw new Error(`--fault is one of ${known}, mixed; not ${name}.`);
}

async function onSqlite(): Promise<boolean> {
  if (values.backfill) {
    const [rows, pauses] = [Number(values.rows), Number(values.pauses)];
    const kills = Number(values.kills ?? 50);
    const verdict = await backfillCampaign({ rows, kills, pauses, seed, canary });
    printFigures(verdict);
    return isProven(verdict);
  }
  if (values.workers) {
    const verdict = await workersCampaign({ kills: Number(values.kills ?? 50), seed });
    printFigures(verdict);
    return isWorkersKept(verdict);
  }
  const { fault = "kill" } = values;
  if (fault === "disk-full") {
    const verdict = await diskFullCampaign({ rounds: Number(values.rounds ?? 20), seed });
    printFigures(verdict);
    return isLedgerKept(verdict);
  }
  if (fault === "clock") {
    const verdict = await clockCampaign({ rounds: Number(values.rounds ?? 200), seed, canary });
    printFigures(verdict);
    return isLedgerKept(verdict);
  }
  if (fault !== "kill") {
    throw new Error(`On SQLite --fault is one of kill, disk-full, clock; not ${fault}.`);
  }
  const result = await campaign({ kills: Number(values.kills ?? 50), seed, canary });
  printFigures(result);
  return isKept(result);
}

async function onPostgres(): Promise<boolean> {
  const campaigns = chosen();
  const rounds = Number(values.rounds ?? values.kills ?? 20);
  const cluster = await Cluster.open();
  let kept = true;
  try {
    for (const [name, faults] of campaigns) {
      console.log(`\n${name}: ${rounds} rounds, seed ${seed}`);
      const verdict = await postgresCampaign(cluster, { faults, rounds, seed, canary });
      printFigures(verdict);
      if (isPostgresKept(verdict)) continue;
      kept = false;
      const flags = `--fault ${name} --rounds ${rounds} --seed ${seed}`;
      console.log(`BROKEN: npm run chaos -- --storage postgres ${flags}`);
    }
  } finally {
    await cluster.stop();
  }
  return kept;
}

if (storage !== "sqlite" && storage !== "postgres") {
  throw new Error(`--storage is sqlite or postgres, not ${storage}.`);
}
async function onPool(): Promise<boolean> {
  const cluster = storage === "postgres" ? await Cluster.open() : undefined;
  try {
    const kills = Number(values.kills ?? 50);
    const server = cluster === undefined ? {} : { cluster };
    const result = await poolCampaign({ kills, seed, canary, ...server });
    printFigures(result);
    return isPoolKept(result);
  } finally {
    await cluster?.stop();
  }
}

const keptToo = values.pool ? "no limit broken" : "nothing twice";
const onStorage = storage === "sqlite" ? onSqlite : onPostgres;
const kept = await (values.pool ? onPool : onStorage)();
console.log(kept ? `kept: nothing lost, ${keptToo}` : "BROKEN: see lost, duplicates and the rest");
process.exitCode = kept ? 0 : 1;
