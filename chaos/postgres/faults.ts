/** What is done to the processes, to the server, and to what is between them. */
import type pg from "pg";

import { sleep, systemClock } from "../../packages/batchwork/src/runtime/clock.ts";
import { killOne } from "../campaign.ts";
import type { Crew } from "../crew.ts";
import { LEASE_MS } from "../work.ts";
import type { Proxy } from "../../packages/batchwork/test/postgres/proxy.ts";

export type FaultName = "kill" | "terminate" | "restart" | "cut" | "half-open" | "stop";

/** What a fault has to work with. */
export interface Scene {
  readonly crew: Crew;
  readonly processes: number;
  readonly random: () => number;
  /** Between the processes and the server; only where a fault of the campaign needs it. */
  readonly proxy: Proxy | undefined;
  /** Connections to the server's own database, past the proxy. */
  readonly admin: pg.Pool;
  readonly database: string;
  /** Crashes and starts the server. */
  readonly crash: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** Resolves when every process has an add acknowledged from now on, and its item handled. */
  readonly worksAgain: () => Promise<void>;
  /** What is told of at the end: how often, or how long. */
  readonly count: (what: string) => void;
  readonly recovered: (ms: number) => void;
}

export interface Fault {
  readonly name: FaultName;
  readonly needsProxy: boolean;
  /** How long a process waits for the server's answers, ms. */
  readonly replyTimeoutMs: number;
  /** Does it once. */
  readonly strike: (scene: Scene) => Promise<void>;
}

/** How long things go well before the next blow, ms. */
const WORK_MS_MIN = 5;
const WORK_MS_MAX = 65;
/** Nothing here needs it to be short. */
const PATIENT_MS = 30_000;
/** Where only this ends a wait. */
const IMPATIENT_MS = 1000;
/** The server is down for up to so long, ms. */
const DOWN_MS_MAX = 400;
/** How long to wait for a statement that is to be cut, ms. */
const CUT_WAIT_MS = 500;
/** The longest pause beyond the lease, ms. */
const PAUSE_MS_MAX = 500;

const TERMINATE = `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity
  WHERE datname = $1 AND backend_type = 'client backend' AND random() < $2`;

/** The end of `ctx.tx`, an add, a claim with its settlements, a heartbeat. */
const WORDS = ["settle_one", ".append", ".exchange", "UPDATE"];

async function kill({ crew, processes, random }: Scene): Promise<void> {
  await killOne(crew, processes, random);
}

async function terminate({ admin, database, random, count }: Scene): Promise<void> {
  await work(random);
  const share = random() < 0.2 ? 1 : random();
  const { rows } = await admin.query<{ readonly ended: number }>(TERMINATE, [database, share]);
  for (let n = 0; n < (rows[0]?.ended ?? 0); n++) count("connections ended");
}

async function restart({ crash, start, worksAgain, recovered, random }: Scene): Promise<void> {
  await work(random);
  await crash();
  await sleep(systemClock, random() * DOWN_MS_MAX);
  await start();
  const backAt = systemClock.monotonicMs();
  await worksAgain();
  recovered(systemClock.monotonicMs() - backAt);
}

async function cut({ proxy, random, count }: Scene): Promise<void> {
  if (proxy === undefined) throw new Error("There is no proxy to cut connections.");
  await work(random);
  for (;;) {
    const word = WORDS[Math.floor(random() * WORDS.length)] as string;
    const forward = random() < 0.75;
    const done = proxy.cutNext({ word, forward }).then(() => true);
    const given = sleep(systemClock, CUT_WAIT_MS).then(() => false);
    if (await Promise.race([done, given])) {
      count(`${word} ${forward ? "without its answer" : "not sent"}`);
      return;
    }
    proxy.disarm();
  }
}

async function halfOpen({ proxy, random, count }: Scene): Promise<void> {
  if (proxy === undefined) throw new Error("There is no proxy to stop forwarding.");
  const share = random() < 0.05 ? 1 : 0.2;
  let frozen = 0;
  while (frozen === 0) {
    await work(random);
    frozen = proxy.freeze(() => random() < share);
  }
  for (let n = 0; n < frozen; n++) count("connections left half-open");
}

async function stop({ crew, processes, random, count }: Scene): Promise<void> {
  await work(random);
  const first = Math.floor(random() * processes);
  const places = [first, ...(random() < 0.3 ? [(first + 1) % processes] : [])];
  const children = await Promise.all(places.map(async (place) => (await crew.at(place)).child));
  for (const child of children) child.kill("SIGSTOP");
  await sleep(systemClock, LEASE_MS + random() * PAUSE_MS_MAX);
  for (const child of children) {
    child.kill("SIGCONT");
    count("processes stopped");
  }
}

async function work(random: () => number): Promise<void> {
  await sleep(systemClock, WORK_MS_MIN + random() * (WORK_MS_MAX - WORK_MS_MIN));
}

function fault(
  name: FaultName,
  strike: Fault["strike"],
  { needsProxy = false, replyTimeoutMs = PATIENT_MS }: Partial<Fault> = {},
): Fault {
  return { name, strike, needsProxy, replyTimeoutMs };
}

export const FAULTS: readonly Fault[] = [
  fault("kill", kill),
  fault("terminate", terminate),
  fault("restart", restart),
  fault("cut", cut, { needsProxy: true }),
  fault("half-open", halfOpen, { needsProxy: true, replyTimeoutMs: IMPATIENT_MS }),
  fault("stop", stop),
];
