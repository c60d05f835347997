/** One run of a handler's calls, and the accident that happens at one of them. */
import { AsyncLocalStorage } from "node:async_hooks";

/**
 * - `"kill"`: the process dies right after the call took effect.
 * - `"fail"`: the call takes effect, then throws.
 * - `"cut"`: the call takes long, and meanwhile the process is cut off from its database.
 * - `"timeout"`: the call takes longer than the batch's `timeout`.
 */
export type Accident = "kill" | "fail" | "cut" | "timeout";

/** What happens where. */
export interface Plan {
  readonly accident: Accident;
  /** Which call, counted from 1. */
  readonly at: number;
}

/** One call that a handler made. */
export interface Call {
  /** Such as `db.insert() #2`. */
  readonly label: string;
  /** False when it returned a value and no promise, so nothing can happen while it is awaited. */
  asynchronous: boolean;
  /** True for calls of the context and for the return of the handler. */
  readonly own: boolean;
}

/** One call of the handler by the engine. */
export class Delivery {
  /** Ends when the handler has ended, has died, or is held up. */
  readonly stopped: () => Promise<void>;
  /** Its process is dead: nothing it calls happens any more. */
  dead = false;
  held = false;
  ended = false;
  /** Lets go of it while it is held up. */
  release: () => void = () => undefined;
  #stop: () => void = () => undefined;
  #stopping: Promise<void>;

  constructor() {
    this.#stopping = this.#next();
    this.stopped = async () => this.#stopping;
  }

  /** True while its code may run on without anybody's doing. */
  get runs(): boolean {
    return !this.dead && !this.held && !this.ended;
  }

  stop(): void {
    this.#stop();
  }

  /** Held up until `release`. */
  async hold(): Promise<void> {
    this.held = true;
    this.stop();
    await new Promise<void>((resolve) => {
      this.release = resolve;
    });
    this.#stopping = this.#next();
    this.held = false;
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#stop = resolve;
    });
  }
}

/** Which delivery the current code is a part of. */
const current = new AsyncLocalStorage<{ readonly script: Script; readonly delivery: Delivery }>();

/** Runs `work` as a part of the delivery. */
export function within<R>(script: Script, delivery: Delivery, work: () => R): R {
  return current.run({ script, delivery }, work);
}

/** Makes a call on behalf of the delivery that the current code is a part of, if any. */
export function callWithin<R>(name: string, work: () => R): R {
  const around = current.getStore();
  return around === undefined ? work() : around.script.call(around.delivery, name, work);
}

/** A process that is dead goes no further than this. */
class ProcessKilledError extends Error {
  override readonly name = "ProcessKilledError";
}

export class Script {
  readonly calls: Call[] = [];
  readonly #plan: Plan | undefined;
  readonly #onAccident: (accident: Accident, delivery: Delivery) => void;
  readonly #times = new Map<string, number>();
  #struck = false;

  constructor(
    plan: Plan | undefined,
    onAccident: (accident: Accident, delivery: Delivery) => void,
  ) {
    this.#plan = plan;
    this.#onAccident = onAccident;
  }

  /** True once the accident has happened. */
  get struck(): boolean {
    return this.#struck;
  }

  /** Makes a call, and lets happen what is planned to happen right after it. */
  call<R>(delivery: Delivery, name: string, work: () => R, own = false): R {
    if (delivery.dead) throw new ProcessKilledError(name);
    const call = this.#record(name, own);
    const at = this.calls.length;
    const result = work();
    if (!isThenable(result)) {
      const accident = this.#accidentAt(at);
      if (accident !== undefined) this.#strikeSync(delivery, accident, call.label);
      return result;
    }
    call.asynchronous = true;
    return this.#after(delivery, result, at, call.label) as R;
  }

  #record(name: string, own: boolean): Call {
    const times = (this.#times.get(name) ?? 0) + 1;
    this.#times.set(name, times);
    const label = own && times === 1 ? name : `${name} #${times}`;
    const call = { label, own, asynchronous: false };
    this.calls.push(call);
    return call;
  }

  #accidentAt(at: number): Accident | undefined {
    if (this.#struck || this.#plan?.at !== at) return undefined;
    this.#struck = true;
    return this.#plan.accident;
  }

  #strikeSync(delivery: Delivery, accident: Accident, label: string): void {
    if (accident === "kill") {
      delivery.dead = true;
      this.#onAccident(accident, delivery);
      delivery.stop();
      throw new ProcessKilledError(label);
    }
    if (accident === "fail") throw lostReply(label);
  }

  async #after<V>(
    delivery: Delivery,
    result: PromiseLike<V>,
    at: number,
    label: string,
  ): Promise<V> {
    const value = await result;
    if (delivery.dead) return forever();
    const accident = this.#accidentAt(at);
    if (accident === undefined) return value;
    if (accident === "fail") throw lostReply(label);
    this.#onAccident(accident, delivery);
    if (accident === "kill") {
      delivery.dead = true;
      delivery.stop();
      return forever();
    }
    await delivery.hold();
    return value;
  }
}

function lostReply(label: string): Error {
  return new Error(`verifyHandler: ${label} took effect, and its reply was lost.`);
}

export function forever(): Promise<never> {
  return Promise.withResolvers<never>().promise;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  return "then" in value && typeof value.then === "function";
}
