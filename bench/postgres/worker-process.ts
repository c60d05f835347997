/** One of several processes that share a queue; does what its parent tells it (`workers.ts`). */
import { cpuUsage } from "node:process";
import { addAll, close } from "../cases/cycle.ts";
import { item } from "../harness/items.ts";
import { openEngine, type Engine } from "./engine.ts";
import { countStatements, statementsSent } from "./server-cost.ts";
import type { Answer, Command, Handled, Share } from "./workers.ts";

let opened: Engine | undefined;
let seen = new Uint8Array();
let add: () => Promise<void> = async () => undefined;
let cpu: NodeJS.CpuUsage = cpuUsage();
let statements = 0;

countStatements();
globalThis.process.on("message", (command: Command) => {
  void carryOut(command).then(
    (answer) => send({ kind: "answer", ...answer }),
    (error: unknown) => send({ kind: "answer", failure: String(error) }),
  );
});
// The parent is gone, and nobody else tells this process what to do.
globalThis.process.on("disconnect", () => globalThis.process.exit(1));

async function carryOut(command: Command): Promise<Answer> {
  if (command.kind === "open") {
    await open(command.database, command.share);
    return {};
  }
  if (opened === undefined) throw new Error(`"${command.kind}" came before "open"`);
  switch (command.kind) {
    case "add": {
      cpu = cpuUsage();
      statements = statementsSent();
      await add();
      return {};
    }
    case "start": {
      await opened.engine.start();
      return {};
    }
    case "drain": {
      await opened.queue.drain();
      const { user, system } = cpuUsage(cpu);
      return { cpuMs: (user + system) / 1000, statements: statementsSent() - statements };
    }
    case "close": {
      await close(opened);
      opened = undefined;
      return { seen };
    }
    default: {
      throw new Error(`an unknown command: ${JSON.stringify(command)}`);
    }
  }
}

async function open(database: string, { first, count, total }: Share): Promise<void> {
  seen = new Uint8Array(total);
  const all = Array.from({ length: count }, (_, n) => item(first + n));
  const engine = openEngine(database, (batch) => {
    for (const { id } of batch) seen[id] = (seen[id] ?? 0) + 1;
    send({ kind: "handled", items: batch.length });
  });
  opened = engine;
  add = async () => addAll(engine, all, { callers: 1, perCall: 500 });
  await engine.queue.resume();
}

function send(message: ({ readonly kind: "answer" } & Answer) | Handled): void {
  globalThis.process.send?.(message);
}
