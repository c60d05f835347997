/** A Redis of the row's own: in its directory, on a free port, ended with its process. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import type { Redis } from "ioredis";

export interface RedisServer {
  readonly port: number;
  /** What its settings promise for what was written last, as it says itself. */
  readonly durability: () => Promise<string>;
  /** User and system time it has used so far. */
  readonly cpuMs: () => Promise<number>;
  readonly stop: () => Promise<void>;
}

/** How it keeps what it holds: as it ships, or synced to disk before each answer. */
export type RedisSettings = "shipped" | "fsync";

const ARGUMENTS: Readonly<Record<RedisSettings, readonly string[]>> = {
  shipped: [],
  fsync: ["--appendonly", "yes", "--appendfsync", "always"],
};

const COMMAND = "redis-server";
export const HOST = "127.0.0.1";
const START_MS_MAX = 20_000;

/** Ends the server when nobody holds the other end of its standard input any more. */
const WATCHED = `"$@" & server=$!; cat > /dev/null; kill -9 "$server"; wait "$server"`;

/** Why rows on Redis cannot run here; `undefined` when they can. */
export function redisMissing(path = process.env["PATH"] ?? ""): string | undefined {
  const found = path.split(delimiter).some((folder) => isExecutable(join(folder, COMMAND)));
  return found ? undefined : `there is no ${COMMAND} on the PATH`;
}

export async function startRedis(directory: string, settings: RedisSettings): Promise<RedisServer> {
  const port = await freePort();
  const folder = mkdtempSync(join(directory, "redis-"));
  const place = ["--bind", HOST, "--port", String(port), "--dir", folder];
  const command = [COMMAND, ...place, ...ARGUMENTS[settings]];
  const server = spawn("sh", ["-c", WATCHED, "sh", ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const stop = async (): Promise<void> => {
    const ended = once(server, "exit");
    server.stdin.end();
    await ended;
  };
  try {
    await isReady(server);
  } catch (error) {
    await stop();
    throw error;
  }
  const client = await connected(port);
  return {
    port,
    durability: async () => durabilityOf(await settingsOf(client)),
    cpuMs: async () => cpuMsOf(await client.info("cpu")),
    stop: async () => {
      client.disconnect();
      await stop();
    },
  };
}

/** What `appendonly`, `appendfsync` and `save` mean for what was acknowledged last. */
export function durabilityOf(settings: ReadonlyMap<string, string>): string {
  if (settings.get("appendonly") === "yes") {
    const sync = settings.get("appendfsync") ?? "";
    const kept = { always: "on disk at each answer", everysec: "the last second is lost" }[sync];
    return `AOF, appendfsync=${sync}: ${kept ?? "what the kernel still holds is lost"}`;
  }
  const save = settings.get("save") ?? "";
  return save === ""
    ? "in memory only: everything is lost"
    : "snapshots only: all since the last one is lost";
}

async function settingsOf(client: Redis): Promise<Map<string, string>> {
  const answer = await client.config("GET", "appendonly", "appendfsync", "save");
  const settings = new Map<string, string>();
  for (let at = 0; at + 1 < answer.length; at += 2) {
    settings.set(answer[at] as string, answer[at + 1] as string);
  }
  return settings;
}

function cpuMsOf(info: string): number {
  const used = [...info.matchAll(/^used_cpu_(?:sys|user):(?<seconds>[\d.]+)/gmv)];
  return used.reduce((sum, { groups }) => sum + Number(groups?.["seconds"]) * 1000, 0);
}

/** Rejects when the server does not come up, with what it has said. */
async function isReady(server: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let said = "";
  server.on("error", reject);
  server.stdout?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (said.includes("Ready to accept connections")) resolve();
  });
  const failed = (): void => reject(new Error(`${COMMAND} did not start: ${said.slice(-500)}`));
  const patience = setTimeout(failed, START_MS_MAX);
  try {
    await promise;
  } finally {
    clearTimeout(patience);
  }
}

/** Rows on other databases do without the client, so it is loaded here. */
async function connected(port: number): Promise<Redis> {
  const ioredis = await import("ioredis");
  return new ioredis.Redis({ host: HOST, port });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, HOST);
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
