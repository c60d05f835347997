/** What a measurement has cost the server: WAL, commits, CPU, and how often it was asked. */
import { readdirSync, readFileSync } from "node:fs";
import pg from "pg";

/** Clock ticks of `/proc` are 10 ms on every platform that has one. */
const TICK_MS = 10;

let statements = 0;
let counting = false;

/** From now on counts the statements that go through `pg`, whoever sends them. Legal twice. */
export function countStatements(): void {
  if (counting) return;
  counting = true;
  const prototype = pg.Client.prototype as unknown as { query: (...args: unknown[]) => unknown };
  const { query } = prototype;
  prototype.query = function counted(this: pg.Client, ...args: unknown[]): unknown {
    statements++;
    return Reflect.apply(query, this, args);
  };
}

/** Statements this process sent since {@link countStatements}. */
export function statementsSent(): number {
  return statements;
}

/** Reads the server's counters before and after. */
export class ServerMeter {
  readonly #client: pg.Client;
  readonly #postmaster: number | null;
  readonly #before: Counters;

  private constructor(client: pg.Client, postmaster: number | null, before: Counters) {
    this.#client = client;
    this.#postmaster = postmaster;
    this.#before = before;
  }

  /** Starts the watch, through a connection of its own. */
  static async start(url: string): Promise<ServerMeter> {
    countStatements();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ pid: number; local: boolean }>(
      "SELECT pg_backend_pid() AS pid, inet_server_addr() <<= '127.0.0.0/8' AS local",
    );
    const [row] = rows;
    const postmaster = row?.local === true ? parentOf(row.pid) : null;
    return new ServerMeter(client, postmaster, await counters(client, postmaster));
  }

  /** Stops the watch. */
  async stop(): Promise<PostgresCost> {
    const roundTrips = statements - this.#before.statements;
    const after = await counters(this.#client, this.#postmaster);
    await this.#client.end();
    const { wal, xid, cpuMs } = this.#before;
    return {
      walBytes: after.wal - wal,
      commits: after.xid - xid,
      roundTrips,
      cpuMs: after.cpuMs === null || cpuMs === null ? null : after.cpuMs - cpuMs,
    };
  }
}

/** What a server of PostgreSQL tells, which is everything but the CPU of one that is elsewhere. */
interface PostgresCost {
  readonly walBytes: number;
  readonly commits: number;
  readonly roundTrips: number;
  readonly cpuMs: number | null;
}

interface Counters {
  readonly wal: number;
  readonly xid: number;
  readonly cpuMs: number | null;
  readonly statements: number;
}

async function counters(client: pg.Client, postmaster: number | null): Promise<Counters> {
  const { rows } = await client.query<{ wal: string; xid: string }>(
    `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal,
      pg_snapshot_xmax(pg_current_snapshot())::text AS xid`,
  );
  return {
    wal: Number(rows[0]?.wal),
    xid: Number(rows[0]?.xid),
    cpuMs: postmaster === null ? null : cpuOfFamily(postmaster),
    statements,
  };
}

/** The process that started this one, when it is a PostgreSQL server of this machine. */
function parentOf(pid: number): number | null {
  const stat = statOf(pid);
  return stat?.name === "postgres" ? stat.parent : null;
}

/** CPU of a process, of its children, and of children that have ended. */
function cpuOfFamily(parent: number): number | null {
  const own = statOf(parent);
  if (own === undefined) return null;
  const children = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => statOf(Number(pid)))
    .filter((stat) => stat?.parent === parent)
    .reduce((sum, stat) => sum + (stat?.ticks ?? 0), 0);
  return (own.ticks + own.childTicks + children) * TICK_MS;
}

interface Stat {
  readonly name: string;
  readonly parent: number;
  readonly ticks: number;
  /** Of children that have ended. */
  readonly childTicks: number;
}

/** The fields of `/proc/PID/stat` (proc(5)); `undefined` where there is no such process or file. */
function statOf(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  const close = text.lastIndexOf(")");
  const name = text.slice(text.indexOf("(") + 1, close);
  const fields = text.slice(close + 2).split(" ");
  // Fields are numbered from 1, and the third is the first after the name.
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    name,
    parent: field(4),
    ticks: field(14) + field(15),
    childTicks: field(16) + field(17),
  };
}
