/**
 * Kills executors: from then on nothing that such an action calls returns, and the scheduler has
 * its function no longer. A call of its that began is committed, or never begins: as one chooses.
 */
import * as actions from "../../src/pool/actions.js";
import { executor } from "./app/tasks.js";

interface Registered {
  _handler: (ctx: Ctx, args: { token: string }) => Promise<unknown>;
}

type Call = (...args: unknown[]) => Promise<unknown>;

interface Ctx {
  runQuery: Call;
  runMutation: Call;
  runAction: Call;
}

/** When a call of an executor is its last. */
export interface Death {
  /** The call, counted from 1 over all executors. */
  readonly at: number;
  readonly when: "before" | "after";
}

const killed = new Set<string>();
let calls = 0;
let death: Death | null = null;
let bury: (token: string) => Promise<void> = () => Promise.resolve();

/** Forgets what was; plans a death. `onDeath` takes the function from the scheduler. */
export function planDeath(
  next: Death | null,
  onDeath: (token: string) => Promise<void> = () => Promise.resolve(),
): void {
  killed.clear();
  calls = 0;
  death = next;
  bury = onDeath;
  install(actions.run as unknown as Registered);
  install(executor as unknown as Registered);
}

/** Whether the planned death came. */
export function hasDied(): boolean {
  return killed.size > 0;
}

export function kill(token: string): void {
  killed.add(token);
}

const never = (): Promise<never> => Promise.withResolvers<never>().promise;

const installed = new WeakSet<Registered>();

function install(registered: Registered): void {
  if (installed.has(registered)) return;
  installed.add(registered);
  const { _handler: handler } = registered;
  registered._handler = (ctx, args) => {
    const guard =
      (call: Call): Call =>
      async (...given) => {
        const { token } = args;
        if (killed.has(token)) return never();
        const isLast = ++calls === death?.at;
        if (isLast && death?.when === "before") return die(token);
        const reply = await call(...given);
        return isLast || killed.has(token) ? die(token) : reply;
      };
    const guarded = {
      runQuery: guard(ctx.runQuery),
      runMutation: guard(ctx.runMutation),
      runAction: guard(ctx.runAction),
    };
    return handler({ ...ctx, ...guarded }, args);
  };
}

async function die(token: string): Promise<never> {
  const isNew = !killed.has(token);
  killed.add(token);
  if (isNew) await bury(token);
  return never();
}
