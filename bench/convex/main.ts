/** `npm run bench -- convex [--json] [--peers]`; see README.md. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath, stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { report, type Costs, type PeerCosts } from "./report.ts";
import { HOP_MS } from "./hop.ts";
import { convexTables } from "./table.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The committed figures of the peers. */
const PEERS_FILE = fileURLToPath(new URL("peers.json", import.meta.url));

/** Figures of the peers as they are committed. */
export function committedPeers(): PeerCosts {
  return JSON.parse(readFileSync(PEERS_FILE, "utf8")) as PeerCosts;
}

/**
 * Measures ours, and with `peers` the others again, and prints both. Resolves to false when a
 * target was missed.
 */
export async function benchConvex(values: { json: boolean; peers: boolean }): Promise<boolean> {
  if (values.peers) {
    const measured = { versions: versions(), hopMs: HOP_MS, rows: await measureIn("peers") };
    writeFileSync(PEERS_FILE, `${JSON.stringify(measured, null, 2)}\n`);
    stderr.write(`written: ${PEERS_FILE}\n`);
  }
  const measured = report(await measureIn("ours"), committedPeers());
  stdout.write(values.json ? `${JSON.stringify(measured, null, 2)}\n` : convexTables(measured));
  return Object.values(measured.targets).every(({ met }) => met !== false);
}

/** In a process of its own, under Vite: components find their modules by it. */
async function measureIn(side: "ours" | "peers"): Promise<Costs> {
  const directory = mkdtempSync(join(tmpdir(), "batchwork-bench-"));
  try {
    const out = join(directory, "costs.json");
    const vitest = createRequire(import.meta.url).resolve("vitest/package.json");
    const cli = join(vitest, "../vitest.mjs");
    const config = join(ROOT, "bench/convex/vitest.config.ts");
    const args = [cli, "run", "--silent", "--root", ROOT, "--config", config];
    const child = spawn(execPath, args, {
      env: { ...env, BENCH_CONVEX: side, BENCH_OUT: out },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    if (code !== 0) throw new Error(`The workloads (${side}) failed:\n${said}`);
    return JSON.parse(readFileSync(out, "utf8")) as Costs;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Of what is measured, and of what measures. */
function versions(): Record<string, string> {
  const names = [
    "@convex-dev/workpool",
    "@convex-dev/batch-worker",
    "@convex-dev/migrations",
    "convex",
    "convex-test",
  ];
  return Object.fromEntries(
    names.map((name) => {
      const file = join(ROOT, "node_modules", name, "package.json");
      return [name, (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version];
    }),
  );
}
