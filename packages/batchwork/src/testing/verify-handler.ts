/** Finds out whether a handler's effects are the same however often, and however, it is run. */
import { isDeepStrictEqual } from "node:util";

import { BatchworkError } from "../core/errors.ts";
import type { BatchContext } from "../runtime/context.ts";
import { memory } from "../storage/memory/index.ts";
import type { Storage } from "../storage/storage.ts";
import { observeCalls, type EffectObjects } from "./verify/observed-calls.ts";
import { reportText, type EffectProblem } from "./verify/report.ts";
import { scenariosOf, sampled, type Scenario } from "./verify/scenarios.ts";
import { runTrial, type TrialBatchOptions, type TrialResult } from "./verify/trial.ts";

export type { EffectObjects } from "./verify/observed-calls.ts";
export type { EffectProblem } from "./verify/report.ts";

/** Options of {@link verifyHandler}. */
export interface VerifyOptions<T> {
  /**
   * Everything the handler changes, as it is now: a value that `structuredClone` takes, best an
   * object with one property for each kind of effect. Leave out what differs by itself, such as
   * times. Required.
   */
  readonly observe: () => unknown;
  /** Puts everything back to where it was before the handler ran; called before every run. */
  readonly reset: () => unknown;
  /**
   * The objects whose methods have the effects, by name: fakes of a database, a mailer. While the
   * verification lasts their methods are replaced by observed ones, and accidents happen at each
   * of their calls. Default: none; accidents happen at calls of the context and at the end alone.
   */
  readonly effects?: EffectObjects;
  /** Options of the definition that the handler is for. Default: one batch of the sample. */
  readonly batch?: TrialBatchOptions<T>;
  /**
   * Opens one more connection to the database; for handlers that write through `ctx.tx`, since its
   * `tx` is that of the storage. Called for each simulated process. Default: memory.
   */
  readonly storage?: () => Storage;
  /** Whether the effects have to be the same when the sample comes in two halves. Default true. */
  readonly halves?: boolean;
  /** Most calls at which accidents happen, spread evenly over them all. At least 2; default 50. */
  readonly maxCalls?: number;
  /** How long one call of the handler may really take, ms. Default 10,000. */
  readonly handlerMs?: number;
}

/** What {@link verifyHandler} found. */
export interface VerifyReport {
  /** True when every run ended in the state that one clean delivery leaves. */
  readonly ok: boolean;
  /** Runs of the sample, clean ones included. */
  readonly runs: number;
  readonly problems: readonly EffectProblem[];
  /** The same for people. */
  readonly text: string;
}

const MAX_CALLS = 50;
const HANDLER_MS = 10_000;

/**
 * Runs a handler over a sample once in peace, then through everything that at-least-once delivery
 * allows, each time from a fresh start: its process is killed after each of its calls; a call takes
 * effect and then fails; the batch times out or is taken over by another process while a call is
 * under way, and the handler goes on all the same; the sample comes in two halves. Every run must
 * end in the state that the first one ended in, as `observe` tells it. Time is simulated.
 *
 * Finds what is not idempotent for this sample at the calls it can see, and proves no more.
 *
 * @throws `OPTION_INVALID`; an error when the handler fails in peace, does not end, or leaves two
 * different states in two clean runs
 */
export async function verifyHandler<T>(
  handler: (ctx: BatchContext<T>) => unknown,
  sample: readonly T[],
  options: VerifyOptions<T>,
): Promise<VerifyReport> {
  check(handler, sample, options);
  const restore = observeCalls(options.effects ?? {});
  try {
    return await new Verification(handler, sample, options).run();
  } finally {
    restore();
  }
}

class Verification<T> {
  readonly #handler: (ctx: BatchContext<T>) => unknown;
  readonly #sample: readonly T[];
  readonly #options: VerifyOptions<T>;
  readonly #problems: EffectProblem[] = [];
  #runs = 0;

  constructor(
    handler: (ctx: BatchContext<T>) => unknown,
    sample: readonly T[],
    options: VerifyOptions<T>,
  ) {
    this.#handler = handler;
    this.#sample = sample;
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    const { maxCalls = MAX_CALLS, halves = true, batch } = this.#options;
    const clean = await this.#clean();
    const expected = await this.#state();
    await this.#clean();
    refuseDifference(expected, await this.#state());
    const size = halves && this.#sample.length > 1 ? this.#sample.length : 0;
    for (const scenario of scenariosOf(sampled(clean.calls, maxCalls), size, batch?.maxSize)) {
      const { deaths, struck } = await this.#trial(scenario);
      if (scenario.plan === undefined || struck) {
        this.#compare(scenario.title, expected, await this.#state(), deaths);
      }
    }
    const problems = this.#problems;
    const text = reportText(this.#runs, problems);
    return { ok: problems.length === 0, runs: this.#runs, problems, text };
  }

  /** One delivery to which nothing happens. */
  async #clean(): Promise<TrialResult> {
    const result = await this.#trial({ title: "one clean delivery" });
    const [death] = result.deaths;
    if (death === undefined) return result;
    throw new Error(`verifyHandler: the handler fails on the sample in peace. ${death}`);
  }

  async #trial({ plan, maxSize }: Scenario): Promise<TrialResult> {
    await this.#options.reset();
    this.#runs++;
    const { batch = {}, storage, handlerMs = HANDLER_MS } = this.#options;
    const data = memory();
    const settings = {
      handler: this.#handler,
      sample: this.#sample,
      // Whatever earlier runs left in a database of the user's is not in this run's way.
      name: `verify-handler-${this.#runs}`,
      batch: maxSize === undefined ? batch : { ...batch, maxSize },
      connect: storage ?? (() => data.view()),
      handlerMs,
    };
    return runTrial(settings, plan);
  }

  async #state(): Promise<unknown> {
    // A copy: the state that is compared with must not change with the runs that follow.
    return structuredClone(await this.#options.observe());
  }

  #compare(scenario: string, expected: unknown, found: unknown, deaths: readonly string[]): void {
    for (const [effect, [wanted, got]] of differences(expected, found)) {
      this.#problems.push({ scenario, effect, expected: wanted, found: got });
    }
    if (deaths.length === 0) return;
    const effect = "dead letters";
    this.#problems.push({ scenario, effect, expected: [], found: deaths });
  }
}

/** What differs: by property where both are plain objects. */
function differences(expected: unknown, found: unknown): [string, [unknown, unknown]][] {
  if (isDeepStrictEqual(expected, found)) return [];
  if (!isPlain(expected) || !isPlain(found)) return [["the observed state", [expected, found]]];
  const keys = new Set([...Object.keys(expected), ...Object.keys(found)]);
  return [...keys]
    .filter((key) => !isDeepStrictEqual(expected[key], found[key]))
    .map((key) => [key, [expected[key], found[key]]]);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
  );
}

function refuseDifference(first: unknown, second: unknown): void {
  const [difference] = differences(first, second);
  if (difference === undefined) return;
  const message =
    `verifyHandler: two clean runs leave two different states (${difference[0]}): ` +
    "let reset undo everything, and leave out of observe what differs by itself.";
  throw new Error(message);
}

function check<T>(handler: unknown, sample: readonly T[], options: VerifyOptions<T>): void {
  const invalid = (field: string, value: unknown, advice: string): BatchworkError =>
    new BatchworkError("OPTION_INVALID", `verifyHandler: ${advice}.`, { field, value });
  if (typeof handler !== "function") throw invalid("handler", handler, "give a handler");
  if (!Array.isArray(sample) || sample.length === 0) {
    throw invalid("sample", sample, "give a sample of at least one item");
  }
  for (const field of ["observe", "reset"] as const) {
    if (typeof options[field] === "function") continue;
    throw invalid(field, options[field], `${field} must be a function`);
  }
  const { maxCalls = MAX_CALLS } = options;
  if (!Number.isInteger(maxCalls) || maxCalls < 2) {
    throw invalid("maxCalls", maxCalls, "maxCalls must be a whole number of at least 2");
  }
}
