/** The handlers of a pool: what types follow from them, and how one is found by its name. */
import { BatchworkError } from "../core/errors.ts";
import { resolveHandlerOptions, type ResolvedHandlerOptions } from "../core/pool-options.ts";
import type { PoolRetry } from "../core/pool-settings.ts";
import type { SchemaInput, SchemaOutput, StandardSchema } from "../core/schema.ts";
import type { TaskContext } from "./task-context.ts";
import { Validation } from "./validation.ts";

/** What one handler may say for itself; what it does not say, the pool says. */
export interface HandlerSettings {
  /** Instead of the pool's `retry`. */
  readonly retry?: boolean | PoolRetry;
  /** Instead of the pool's `timeout`, ms. */
  readonly timeout?: number;
}

/** A handler of a pool: a function, or one with options, among them a schema of its arguments. */
export type PoolHandler =
  | ((args: never, ctx: TaskContext) => unknown)
  | (HandlerSettings & {
      /**
       * Any schema that speaks Standard Schema 1. Arguments are checked when the task is enqueued
       * and stored as they are given; the handler gets what the schema makes of them then.
       */
      readonly schema?: StandardSchema;
      readonly handler: (args: never, ctx: TaskContext) => unknown;
    });

/** The handlers of a pool, by name. */
export type PoolHandlers = Readonly<Record<string, PoolHandler>>;

/** Names of handlers. */
export type HandlerName<H extends PoolHandlers> = keyof H & string;

/** What `enqueue` takes for a handler. */
export type TaskArgs<H> = H extends { readonly schema: infer S extends StandardSchema }
  ? SchemaInput<S>
  : ArgsOf<H extends { readonly handler: infer F } ? F : H>;

type ArgsOf<F> = F extends () => unknown
  ? undefined
  : F extends (args: infer A, ...rest: never[]) => unknown
    ? A
    : never;

/** What a handler resolves with. */
export type TaskReturn<H> = ReturnOf<H extends { readonly handler: infer F } ? F : H>;

type ReturnOf<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never;

/** Holds each handler with a schema to what its schema makes. */
export type CheckedHandlers<H> = {
  readonly [K in keyof H]: H[K] extends { readonly schema: infer S extends StandardSchema }
    ? { readonly handler: (args: SchemaOutput<S>, ctx: TaskContext) => unknown }
    : unknown;
};

/**
 * A handler with a schema, so that its arguments need no annotation:
 * `handlers: { send: task({ schema, handler: async (args) => … }) }`.
 */
export function task<S extends StandardSchema, R>(
  definition: HandlerSettings & {
    readonly schema: S;
    readonly handler: (args: SchemaOutput<S>, ctx: TaskContext) => R;
  },
): typeof definition {
  return definition;
}

/** One handler, ready to be called. */
export interface ResolvedHandler extends ResolvedHandlerOptions {
  readonly run: (args: unknown, ctx: TaskContext) => unknown;
  readonly validation: Validation | undefined;
}

/** The handlers of one pool. */
export class Handlers {
  readonly #pool: string;
  readonly #byName = new Map<string, ResolvedHandler>();

  /** Throws `OPTION_INVALID`. */
  constructor(pool: string, handlers: PoolHandlers) {
    this.#pool = pool;
    for (const [name, given] of Object.entries(handlers)) {
      const definition = typeof given === "function" ? { handler: given } : given;
      const resolved = resolveHandlerOptions(pool, name, definition);
      const { schema, handler } = definition as {
        readonly schema?: StandardSchema;
        readonly handler: ResolvedHandler["run"];
      };
      const validation =
        schema === undefined ? undefined : new Validation(`${pool}/${name}`, schema);
      this.#byName.set(name, { ...resolved, run: handler, validation });
    }
  }

  /** Throws `HANDLER_UNKNOWN`: at `enqueue` nothing is stored; a stored task fails for good. */
  named(name: string): ResolvedHandler {
    const handler = this.#byName.get(name);
    if (handler !== undefined) return handler;
    const known = [...this.#byName.keys()].map((one) => JSON.stringify(one)).join(", ");
    const message =
      `Pool "${this.#pool}" has no handler named ${JSON.stringify(name)}, only ${known}: ` +
      "define it, then redrive what failed.";
    throw new BatchworkError("HANDLER_UNKNOWN", message, { field: "name", value: name });
  }
}
