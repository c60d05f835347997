/** Starts processes that share a queue, tells them what to do, and hears from them. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export type Command =
  | { readonly kind: "open"; readonly database: string; readonly share: Share }
  | { readonly kind: "add" | "start" | "drain" | "close" };

/** The items a process adds: `count` of `total`, from number `first` on. */
export interface Share {
  readonly first: number;
  readonly count: number;
  readonly total: number;
}

/** What a process answers to a command. */
export interface Answer {
  readonly failure?: string;
  /** To `drain`: what it has cost since `add`. */
  readonly cpuMs?: number;
  readonly statements?: number;
  /** To `close`: how often each item was delivered to it. */
  readonly seen?: Uint8Array;
}

/** So many items were handled. */
export interface Handled {
  readonly kind: "handled";
  readonly items: number;
}

const SCRIPT = fileURLToPath(new URL("worker-process.ts", import.meta.url));

export class Workers {
  readonly #children: readonly ChildProcess[];

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children;
  }

  /** `onHandled` is told of every batch. */
  static start(count: number, onHandled: (items: number) => void): Workers {
    const children = Array.from({ length: count }, () =>
      // Plain JSON would turn what was delivered into an object with a key for each item.
      fork(SCRIPT, { serialization: "advanced" }).on("message", (message: Handled | Answer) => {
        if ("kind" in message && message.kind === "handled") onHandled(message.items);
      }),
    );
    return new Workers(children);
  }

  /** Tells each process its command and waits until all have answered. Rejects when one fails. */
  async all(command: (index: number) => Command): Promise<Answer[]> {
    return Promise.all(this.#children.map(async (child, index) => ask(child, command(index))));
  }

  async end(): Promise<void> {
    const gone = this.#children.map(async (child) => once(child, "exit"));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(gone);
  }
}

async function ask(child: ChildProcess, command: Command): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const ended = (): void => reject(new Error(`a process ended during "${command.kind}"`));
  const heard = (message: Handled | ({ readonly kind: "answer" } & Answer)): void => {
    if (message.kind === "answer") resolve(message);
  };
  child.on("message", heard).once("exit", ended);
  child.send(command);
  try {
    const answer = await promise;
    if (answer.failure !== undefined) throw new Error(answer.failure);
    return answer;
  } finally {
    child.off("message", heard).off("exit", ended);
  }
}
