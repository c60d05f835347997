/** The processes of a campaign: they work, are killed or stopped, and are replaced. */
import { fork, type ChildProcess } from "node:child_process";
import { join } from "node:path";

import { systemClock } from "../packages/batchwork/src/runtime/clock.ts";
import type { Message, Orders, Probed } from "./worker.ts";

/** What a {@link Crew} is made of. */
export interface CrewOptions {
  readonly directory: string;
  readonly processes: number;
  /** Processes that have loaded and wait for their turn, so a kill does not wait for a start. */
  readonly spares: number;
  /** What every process is told, its own number and journal apart. */
  readonly orders: Omit<Orders, "journal" | "life">;
  /** What each process runs. Default: `worker.ts`. */
  readonly worker?: URL;
}

/** A process that has begun to work. */
export interface Working {
  readonly child: ChildProcess;
  readonly since: number;
}

const WORKER = new URL("worker.ts", import.meta.url);

export class Crew {
  readonly journals: string[] = [];
  readonly #options: CrewOptions;
  readonly #spares: Promise<ChildProcess>[] = [];
  readonly #all = new Set<ChildProcess>();
  readonly #working: Promise<Working>[] = [];
  #lives = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    for (let n = 0; n < this.#options.spares; n++) this.#addSpare();
    for (let n = 0; n < this.#options.processes; n++) this.#working.push(this.#employ());
    await Promise.all(this.#working);
  }

  /** The process at a place. Throws when it ended by itself. */
  async at(place: number): Promise<Working> {
    const working = await (this.#working[place] as Promise<Working>);
    const { exitCode, signalCode } = working.child;
    if (exitCode === null && signalCode === null) return working;
    throw new Error(`A worker ended by itself: ${exitCode ?? signalCode}.`);
  }

  /** Kills the process at a place, and puts another there. */
  async replace(place: number): Promise<void> {
    const { child } = await this.at(place);
    const gone = new Promise((resolve) => {
      child.once("exit", resolve);
    });
    child.kill("SIGKILL");
    await gone;
    this.#working[place] = this.#employ();
  }

  /** Has every process add an item. Resolves with the items, when all are acknowledged. */
  async probe(): Promise<string[]> {
    const children = await this.#children();
    return Promise.all(
      children.map(async (child) => {
        const heard = told<Probed>(child, "a probe", isProbed);
        child.send("probe" satisfies Message);
        return (await heard).probed;
      }),
    );
  }

  /** Lets everybody finish what there is, and go. `drained` resolves when nothing is left. */
  async finish(drained: () => Promise<void>): Promise<void> {
    const children = await this.#children();
    for (const child of children) child.send("produce no more" satisfies Message);
    await drained();
    const finished = (await this.#children()).map(async (child) => toldWord(child, "finished"));
    for (const child of children) child.send("stop" satisfies Message);
    await Promise.all(finished);
  }

  /** Nobody is left behind, however the campaign ended. */
  end(): void {
    for (const child of this.#all) child.kill("SIGKILL");
  }

  async #children(): Promise<ChildProcess[]> {
    const places = Array.from({ length: this.#options.processes }, (_, place) => place);
    return Promise.all(places.map(async (place) => (await this.at(place)).child));
  }

  #addSpare(): void {
    const spare = this.#load();
    // One that is still loading when the campaign ends is killed: nobody is left to hear of it.
    spare.catch(() => undefined);
    this.#spares.push(spare);
  }

  async #load(): Promise<ChildProcess> {
    const { directory } = this.#options;
    const env = { ...process.env, NODE_COMPILE_CACHE: join(directory, "compiled") };
    const child = fork(this.#options.worker ?? WORKER, {
      execArgv: ["--conditions=batchwork-source"],
      env,
    });
    this.#all.add(child);
    child.once("exit", () => {
      this.#all.delete(child);
    });
    await toldWord(child, "loaded");
    return child;
  }

  async #employ(): Promise<Working> {
    const { directory, orders } = this.#options;
    this.#addSpare();
    const child = await (this.#spares.shift() as Promise<ChildProcess>);
    const life = ++this.#lives;
    const journal = join(directory, `${life}.log`);
    this.journals.push(journal);
    const working = toldWord(child, "working");
    child.send({ ...orders, journal, life, seed: orders.seed + life } satisfies Orders);
    await working;
    return { child, since: systemClock.monotonicMs() };
  }
}

function isProbed(message: unknown): message is Probed {
  return typeof message === "object" && message !== null && "probed" in message;
}

async function toldWord(child: ChildProcess, word: string): Promise<void> {
  await told(child, `"${word}"`, (message): message is string => message === word);
}

/** Resolves with what the process says, when it is that; rejects when it ends before. */
function told<T>(
  child: ChildProcess,
  what: string,
  isIt: (message: unknown) => message is T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => {
      reject(new Error(`A worker ended (${code}) before it said ${what}.`));
    };
    const heard = (message: unknown): void => {
      if (!isIt(message)) return;
      child.off("message", heard);
      child.off("exit", ended);
      resolve(message);
    };
    child.on("message", heard);
    child.on("exit", ended);
  });
}
