/** The options of an iterator and of a job that are data, checked and complete. */
import * as field from "./fields.ts";
import { invalidOption, orElse, readFields, type Spec } from "./fields.ts";
import { BATCH_ITEMS_MAX, CONCURRENCY_MAX, isName, NAME_BYTES_MAX, WAIT_MS_MAX } from "./limits.ts";
import { BatchworkError } from "./errors.ts";

/** Options of `bw.iterator(…)` that are data. */
export interface IteratorSettings {
  /**
   * Unique among the iterators of its engine. The same name is the same iterator in every process
   * and after every restart. 1 to 128 characters: letters, digits and `_ . : -`. Required.
   */
  readonly name: string;
  /**
   * Most items of a page, 1 to 100,000. May change between two runs of the program while jobs are
   * under way: where a job stands does not depend on it. Required.
   */
  readonly batchSize: number;
  /** Wait between two pages of a job, ms. 0 to 365 days. Default 0. */
  readonly delayBetweenBatchesMs?: number;
  /**
   * Attempts at a page, and at an item that failed, before the job is `failed`, or the item a dead
   * letter. The next attempt comes after 1 s, then 2 s, 4 s and so on, at most 30 s. 1 to 10,000.
   * Default 5.
   */
  readonly maxRetries?: number;
  /**
   * What a page does that throws without naming items. `"retry"`: the whole page is tried again,
   * and the job fails once it is out of attempts. `"bisect"`: smaller pages are tried, at once,
   * until the bad item is alone; that is then retried apart, and the job goes on without it.
   * Default `"retry"`.
   */
  readonly onFailure?: "retry" | "bisect";
  /** How long `processBatch` may take, ms; then the attempt has failed. Default: no limit. */
  readonly timeout?: number;
  /**
   * How long `processBatch` should take, ms: pages begin with `minBatchSize` items and grow, by a
   * tenth at most, towards `batchSize` as long as that leaves time; they halve at once when it took
   * longer, or timed out. Default: every page has `batchSize` items.
   */
  readonly targetMs?: number;
  /** Fewest items of a page with `targetMs`, 1 to `batchSize`. Default 1. */
  readonly minBatchSize?: number;
  /**
   * Keeps what it takes to prove at the end that no row was missed, and takes up rows that came
   * late; only with `fromTable`. Costs a walk through the keys before and after, and about eleven
   * bytes a row in the database until the job is deleted. Default false.
   */
  readonly coverage?: boolean;
  /** How long to wait after a `healthCheck` that says no, ms. 10 to 365 days. Default 1,000. */
  readonly healthCheckMs?: number;
  /** Pages that run at a time in this process. 1 to 1,000. Default: the engine's `concurrency`. */
  readonly concurrency?: number;
}

/** Options of one job. */
export interface JobSettings {
  /** Instead of the iterator's `batchSize`. */
  readonly batchSize?: number;
  /**
   * Into how many ranges of keys the table is cut, to be walked through side by side, by as many
   * processes as there are; only with `fromTable`. 1 to 256. Default 1.
   */
  readonly partitions?: number;
  /**
   * Tries it out: pages are processed, but whatever `ctx.tx` writes is rolled back and counted
   * instead, nothing is retried apart, and `onComplete` is not called. Default false.
   */
  readonly dryRun?: boolean;
  /** How many items there are, for `status()`. Default: with `fromTable` they are counted. */
  readonly total?: number;
}

export interface ResolvedIteratorOptions extends Readonly<
  Required<Omit<IteratorSettings, "timeout" | "targetMs">>
> {
  readonly timeout: number | undefined;
  readonly targetMs: number | undefined;
}

export interface ResolvedJobSettings {
  readonly batchSize: number | null;
  readonly partitions: number;
  readonly dryRun: boolean;
  readonly total: number | null;
}

const { callable, choice, flag, name, whole } = field;

/** Ranges of one job. Each is a loop of its own, with a lease of its own. */
const PARTITIONS_MAX = 256;

const items = whole({ minimum: 1, maximum: BATCH_ITEMS_MAX, unit: "items" });
const ms = whole({ minimum: 0, maximum: WAIT_MS_MAX, unit: "ms" });
const span = whole({ minimum: 1, maximum: WAIT_MS_MAX, unit: "ms" });

interface IteratorFields extends Omit<ResolvedIteratorOptions, "concurrency"> {
  readonly concurrency: number | undefined;
  readonly source: unknown;
  readonly getNextBatch: unknown;
  readonly processBatch: unknown;
  readonly onComplete: unknown;
  readonly healthCheck: unknown;
  readonly onDead: unknown;
}

const SOURCE: field.Field<unknown> = {
  expected: "what fromTable or fromAsyncIterable returns",
  accepts: (value) => kindOf(value) !== undefined,
};

const ITERATOR: Spec<IteratorFields> = {
  name: name(),
  batchSize: items,
  delayBetweenBatchesMs: orElse(ms, 0),
  maxRetries: orElse(whole({ minimum: 1, maximum: 10_000, unit: "attempts" }), 5),
  onFailure: orElse(choice("retry", "bisect"), "retry"),
  timeout: orElse(span, undefined),
  targetMs: orElse(span, undefined),
  minBatchSize: orElse(items, 1),
  coverage: orElse(flag(), false),
  healthCheckMs: orElse(whole({ minimum: 10, maximum: WAIT_MS_MAX, unit: "ms" }), 1000),
  concurrency: orElse(whole({ minimum: 1, maximum: CONCURRENCY_MAX, unit: "pages" }), undefined),
  source: orElse(SOURCE, undefined),
  getNextBatch: orElse(callable(), undefined),
  processBatch: callable(),
  onComplete: orElse(callable(), undefined),
  healthCheck: orElse(callable(), undefined),
  onDead: orElse(callable(), undefined),
};

const JOB: Spec<ResolvedJobSettings> = {
  batchSize: orElse(items, null),
  partitions: orElse(whole({ minimum: 1, maximum: PARTITIONS_MAX, unit: "ranges" }), 1),
  dryRun: orElse(flag(), false),
  total: orElse(whole({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, unit: "items" }), null),
};

/** An iterator's options. Throws `OPTION_INVALID`. */
export function resolveIteratorOptions(
  options: IteratorSettings,
  engine: { readonly concurrency: number },
): ResolvedIteratorOptions {
  const subject = subjectOf(options);
  const fields = readFields(subject, options, ITERATOR);
  const { source, getNextBatch } = fields;
  if ((source === undefined) === (getNextBatch === undefined)) {
    const problem = "or getNextBatch is required, and only one of them";
    throw invalidOption(subject, "source", source, problem);
  }
  if (fields.coverage && kindOf(source) !== "table") {
    const problem = "needs source: fromTable(…): only of a table is it known what there is";
    throw invalidOption(subject, "coverage", true, problem);
  }
  const { minBatchSize, batchSize } = fields;
  if (minBatchSize > batchSize) {
    const problem = `must be at most batchSize (${batchSize}), not ${minBatchSize}`;
    throw invalidOption(subject, "minBatchSize", minBatchSize, problem);
  }
  return Object.freeze({
    name: fields.name,
    batchSize,
    delayBetweenBatchesMs: fields.delayBetweenBatchesMs,
    maxRetries: fields.maxRetries,
    onFailure: fields.onFailure,
    timeout: fields.timeout,
    targetMs: fields.targetMs,
    minBatchSize,
    coverage: fields.coverage,
    healthCheckMs: fields.healthCheckMs,
    concurrency: fields.concurrency ?? engine.concurrency,
  });
}

/** The options of a job. Throws `OPTION_INVALID`. */
export function resolveJobSettings(
  settings: JobSettings,
  source: "table" | "other",
): ResolvedJobSettings {
  const fields = readFields("start", settings, JOB);
  if (fields.partitions > 1 && source !== "table") {
    const problem = "needs source: fromTable(…): nothing else can be cut into ranges";
    throw invalidOption("start", "partitions", fields.partitions, problem);
  }
  return fields;
}

/** Throws `OPTION_INVALID` for what is no id of a job. */
export function checkJobId(jobId: unknown): asserts jobId is string {
  if (typeof jobId === "string" && jobId.length > 0 && isName(jobId)) return;
  const message =
    `A job's id must be a string of 1 to ${NAME_BYTES_MAX} characters, each a letter (A-Z, a-z), ` +
    `a digit or one of _ . : -, not ${typeof jobId === "string" ? `"${jobId}"` : typeof jobId}.`;
  throw new BatchworkError("OPTION_INVALID", message, { field: "jobId", value: jobId });
}

/** What marks a source: `fromTable` and its like put it there. */
export function kindOf(source: unknown): "table" | "iterable" | undefined {
  if (typeof source !== "object" || source === null || !("kind" in source)) return undefined;
  return source.kind === "table" || source.kind === "iterable" ? source.kind : undefined;
}

function subjectOf(options: unknown): string {
  const given: unknown =
    typeof options === "object" && options !== null && Reflect.get(options, "name");
  return typeof given === "string" && given.length > 0
    ? `iterator ${JSON.stringify(given)}`
    : "an iterator";
}
