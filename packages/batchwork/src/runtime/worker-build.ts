/** Puts a worker together: its definition, and its loops. */
import type { Codec } from "../core/codec.ts";
import { BatchworkError } from "../core/errors.ts";
import { resolveWorkerOptions } from "../core/worker-options.ts";
import type { Storage } from "../storage/storage.ts";
import type { LoopRunner } from "./loop-runner.ts";
import type { Surroundings } from "./surroundings.ts";
import { WORKER_KIND, WorkerDefinition } from "./worker-definition.ts";
import type { AnyWorkerOptions } from "./worker-options.ts";
import { WorkerRun } from "./worker-run.ts";
import { Worker } from "./worker.ts";

/** What a worker is built in. */
export interface WorkerEnvironment {
  readonly storage: Storage;
  readonly loops: LoopRunner;
  readonly around: Surroundings;
  readonly codec: Codec;
}

/** `names`: of the engine's workers. Throws `OPTION_INVALID`, `NAME_TAKEN`. */
export function buildWorker<B>(
  given: unknown,
  environment: WorkerEnvironment,
  names: Set<string>,
): Worker<B> {
  const { storage, loops, around, codec } = environment;
  const options = resolveWorkerOptions(given);
  const { name, concurrency } = options;
  if (names.has(name)) {
    const message = `A worker named "${name}" is already defined in this engine.`;
    throw new BatchworkError("NAME_TAKEN", message, { field: "name", value: name });
  }
  names.add(name);
  const functions = given as AnyWorkerOptions;
  const definition = new WorkerDefinition(options, functions, storage, around, codec);
  loops.register({
    kind: WORKER_KIND,
    name,
    concurrency,
    loops: definition.loops(),
    made: (rows) => definition.made(rows),
    nudge: () => definition.nudge(),
    run: async (row, signals) => new WorkerRun(definition, row, signals).run(),
  });
  return new Worker<B>(definition, loops);
}
