/** What an engine tells while it works, step by step, to whoever wants to hear it. */
import { BatchworkError, type StoredError } from "../core/errors.ts";
import type { FlushReason } from "../core/flush.ts";

/** What every event of a definition says. */
export interface BatchEvent {
  /** Name of the definition. */
  readonly name: string;
  readonly tags: readonly string[];
}

/** An event of one delivery of one batch. */
export interface DeliveryEvent extends BatchEvent {
  readonly batchId: string;
  readonly groupKey: string | undefined;
  /** Items in the batch. */
  readonly size: number;
  /** Which attempt this is; the first is 1. */
  readonly attempt: number;
}

/** Items were stored by this process. */
export interface AddedEvent extends BatchEvent {
  readonly groupKey: string | undefined;
  readonly count: number;
  /** Bytes as UTF-8 text; 0 where nothing measures (`persist: false`). */
  readonly bytes: number;
  /** Id of the first of them; `undefined` for items in a transaction of the caller's. */
  readonly firstId: string | undefined;
  /** False when they are in a transaction of the caller's, which may still be rolled back. */
  readonly committed: boolean;
}

export interface SealedEvent extends DeliveryEvent {
  readonly reason: FlushReason;
  readonly bytes: number;
}

export interface ClaimedEvent extends DeliveryEvent {
  /** What made the batch due when it was sealed. */
  readonly reason: FlushReason;
}

export interface StartedEvent extends DeliveryEvent {
  readonly reason: FlushReason;
  /** The ids that `add` returned, by position. */
  readonly itemIds: readonly string[];
}

export interface ProgressEvent extends DeliveryEvent {
  readonly percent: number;
  readonly note: string;
}

export interface SucceededEvent extends DeliveryEvent {
  /** Items that succeeded: all but those that `ctx.fail` named. */
  readonly count: number;
  /** How long the handler took, ms. */
  readonly durationMs: number;
  /** What the handler returned. */
  readonly result: unknown;
}

export interface FailedEvent extends DeliveryEvent {
  /** Items that failed: all after a throw, else those that `ctx.fail` named. */
  readonly count: number;
  readonly durationMs: number;
  readonly error: Error;
}

export interface RetriedEvent extends DeliveryEvent {
  /** True when the batch was cut in two to find the items that make it throw. */
  readonly bisected: boolean;
  /** The batches that go on: the same one, or new ones. */
  readonly next: readonly {
    readonly size: number;
    readonly attempt: number;
    readonly delayMs: number;
  }[];
}

export interface DeadEvent extends DeliveryEvent {
  /** Items that became dead letters. */
  readonly count: number;
  readonly error: StoredError;
}

export interface FlushedEvent extends BatchEvent {
  /** The group; `undefined` for all. */
  readonly groupKey: string | undefined;
}

/** Processes died; this one declared them dead. */
export interface ReapedEvent {
  readonly processes: number;
  /** Batches that wait for another process now. */
  readonly released: number;
  /** Items that became dead letters because their batch had killed too many processes. */
  readonly dead: number;
}

/** Something went wrong that no caller is told of; the engine goes on. */
export interface ErrorEvent {
  readonly message: string;
  readonly error: unknown;
}

/** The engine has stopped. */
export interface StoppedEvent {
  /** How long its handlers had to end, ms. */
  readonly graceMs: number;
}

/**
 * Events of one definition, in this process. All but `added`, `paused`, `resumed`, `flushed` and
 * `drained` come from the process that runs the batch.
 */
export interface BatchEvents {
  /** Items were stored. */
  readonly added: AddedEvent;
  /** It was decided which items a batch has. Once in the life of a batch. */
  readonly sealed: SealedEvent;
  /** This process has the batch now. */
  readonly claimed: ClaimedEvent;
  /** The batch was running in a process that died, so it runs alone in this one. */
  readonly suspect: DeliveryEvent;
  /** The handler is called. */
  readonly started: StartedEvent;
  /** `ctx.progress` was called and stored. */
  readonly progress: ProgressEvent;
  /** The handler returned, and that its items are done is stored. */
  readonly succeeded: SucceededEvent;
  /** An attempt failed; what becomes of the items is decided next. */
  readonly failed: FailedEvent;
  /** Items go on with another attempt, or in smaller batches. */
  readonly retried: RetriedEvent;
  /** Items became dead letters. */
  readonly dead: DeadEvent;
  /** Another process has the batch: whatever the handler does no longer counts. */
  readonly leaseLost: DeliveryEvent;
  /** A task of a pool was canceled, and its handler in this process has ended. */
  readonly canceled: DeliveryEvent;
  /** `pause()` was called here. */
  readonly paused: BatchEvent;
  /** `resume()` was called here. */
  readonly resumed: BatchEvent;
  /** A `flush()` of this process resolves. */
  readonly flushed: FlushedEvent;
  /** A `drain()` of this process resolves. */
  readonly drained: BatchEvent;
}

/** Events of an engine: those of all its definitions, and its own. */
export interface EngineEvents extends BatchEvents {
  /** Processes died, and this one found out. */
  readonly reaped: ReapedEvent;
  /** Something went wrong that no caller is told of; it is logged as well. */
  readonly error: ErrorEvent;
  /** `stop()` has ended. The last event. */
  readonly stopped: StoppedEvent;
}

const NAMES: Readonly<Record<keyof EngineEvents, true>> = {
  added: true,
  sealed: true,
  claimed: true,
  suspect: true,
  started: true,
  progress: true,
  succeeded: true,
  failed: true,
  retried: true,
  dead: true,
  leaseLost: true,
  canceled: true,
  paused: true,
  resumed: true,
  flushed: true,
  drained: true,
  reaped: true,
  error: true,
  stopped: true,
};

const ENGINE_ONLY: ReadonlySet<string> = new Set(["reaped", "error", "stopped"]);

/** Hears one kind of event. What it returns is ignored. */
export type Listener<E> = (event: E) => unknown;

/** Called with what a listener threw. */
export type ListenerFailed = (event: string, error: unknown) => void;

/** The listeners of an engine, or of one definition, which tells its engine's as well. */
export class Emitter<M extends BatchEvents> {
  readonly #failed: ListenerFailed;
  readonly #engine: Emitter<EngineEvents> | undefined;
  /** Replaced, never changed: a listener may come or go while others are told. */
  readonly #listeners = new Map<string, readonly { readonly call: Listener<never> }[]>();

  constructor(failed: ListenerFailed, engine?: Emitter<EngineEvents>) {
    this.#failed = failed;
    this.#engine = engine;
  }

  /** Adds a listener; what comes back removes it. Throws `OPTION_INVALID` for no known event. */
  on<K extends keyof M & string>(event: K, listener: Listener<M[K]>): () => void {
    this.#check(event, listener);
    const entry = { call: listener as Listener<never> };
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), entry]);
    return () => {
      const left = (this.#listeners.get(event) ?? []).filter((one) => one !== entry);
      if (left.length > 0) this.#listeners.set(event, left);
      else this.#listeners.delete(event);
    };
  }

  /** True when somebody listens: only then is there an event to be made. */
  hears(event: keyof M & string): boolean {
    return this.#listeners.has(event) || this.#engine?.hears(event as keyof BatchEvents) === true;
  }

  /** Tells all listeners, one after the other. What they throw is logged and harms nobody. */
  emit<K extends keyof M & string>(event: K, value: M[K]): void {
    for (const { call } of this.#listeners.get(event) ?? []) this.#tell(event, call, value);
    this.#engine?.emit(event as keyof BatchEvents, value as never);
  }

  #tell(event: string, listener: Listener<never>, value: unknown): void {
    try {
      const result: unknown = listener(value as never);
      if (result instanceof Promise) {
        result.catch((error: unknown) => this.#failed(event, error));
      }
    } catch (error) {
      this.#failed(event, error);
    }
  }

  #check(event: string, listener: unknown): void {
    const known = Object.hasOwn(NAMES, event);
    if (!known || (this.#engine !== undefined && ENGINE_ONLY.has(event))) {
      const message = `There is no event "${event}"${known ? " of a batch: use bw.on" : ""}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "event", value: event });
    }
    if (typeof listener === "function") return;
    const message = `The listener of "${event}" must be a function, not ${typeof listener}.`;
    throw new BatchworkError("OPTION_INVALID", message, { field: "listener", value: listener });
  }
}
