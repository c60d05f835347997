/** `bw.iterator`: jobs that walk through a table, or anything else, page by page. */
import { BatchworkError } from "../core/errors.ts";
import { checkJobId, resolveJobSettings, type JobSettings } from "../core/iterator-options.ts";
import { firstState } from "../core/iterator-state.ts";
import { hasEnded, type LoopControl, type LoopStatus } from "../core/loop-transitions.ts";
import type { LoopRow } from "../storage/loops.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { IteratorDefinition } from "./iterator-definition.ts";
import { JOB_KIND } from "./iterator-definition.ts";
import { controlRanges, jobKey, rangesOf } from "./iterator-partitions.ts";
import {
  nameOf,
  statusesOf,
  statusOf,
  type JobStatus,
  type JobStatusName,
} from "./iterator-status.ts";

/** Options of {@link TableIterator.list}. */
export interface JobQuery {
  readonly status?: JobStatusName;
  /** Most jobs to return, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

const LIST_DEFAULT = 100;
const LIST_MAX = 1000;

/** The state that an event leads to; asking for it again changes nothing. */
const LEADS_TO: Readonly<Partial<Record<LoopControl, LoopStatus>>> = {
  pause: "paused",
  resume: "active",
  cancel: "cancelled",
};

/** Jobs of one iterator. They run in every process that defines it and is started. */
export class TableIterator<T> {
  /** Items that failed until they were out of attempts, of all jobs; `group` is a job's id. */
  readonly deadLetters: DeadLetters<T>;
  readonly #definition: IteratorDefinition;

  constructor(definition: IteratorDefinition, deadLetters: DeadLetters<T>) {
    this.#definition = definition;
    this.deadLetters = deadLetters;
  }

  get name(): string {
    return this.#definition.name;
  }

  /**
   * Starts a job. It belongs to the storage from here on: it goes on in any process that defines
   * the iterator, until it is completed, cancelled or failed.
   *
   * @param jobId 1 to 128 characters: letters, digits and `_ . : -`
   * @throws `JOB_EXISTS` when there is a job with this id, ended or not; `TABLE_INVALID`,
   * `OPTION_INVALID`
   */
  async start(jobId: string, settings: JobSettings = {}): Promise<void> {
    const definition = this.#definition;
    checkJobId(jobId);
    const { source } = definition.given;
    const resolved = resolveJobSettings(settings, source?.kind === "table" ? "table" : "other");
    await definition.ready();
    const { loops } = definition.storage;
    const key = jobKey(this.name, jobId);
    const [known] = await loops.get([key]);
    if (known !== null) throw this.#exists(jobId);
    const table = await definition.table();
    const { partitions } = resolved;
    const cuts = table === null || partitions === 1 ? [] : await table.cuts(partitions);
    const phase = definition.options.coverage ? "census" : "walk";
    const first = firstState({
      phase: cuts.length > 0 ? "join" : phase,
      settings: resolved,
      total: resolved.total ?? (table === null ? null : await table.count()),
      cuts: cuts.length > 0 ? cuts : null,
    });
    const loop = { ...key, state: JSON.stringify(first), cursor: null, runInMs: 0 };
    const [made] = await loops.create([loop]);
    if (made?.created !== true) throw this.#exists(jobId);
    definition.wake();
  }

  /**
   * Pauses a job: the page that is under way is its last until it is resumed. A job that is paused
   * already stays so.
   *
   * @throws `NOT_FOUND`; `JOB_STATE` when it has ended
   */
  async pause(jobId: string): Promise<void> {
    await this.#control(jobId, "pause");
  }

  /**
   * Has a paused or failed job go on from where it stopped, with all attempts. One that runs
   * already goes on as it is: it never runs twice.
   *
   * @throws `NOT_FOUND`; `JOB_STATE` when it is completed or cancelled
   */
  async resume(jobId: string): Promise<void> {
    await this.#control(jobId, "resume");
  }

  /**
   * Cancels a job for good. What the page under way writes through `ctx.tx` is rolled back, and
   * `onComplete` is not called. Its items that are retried apart are let go.
   *
   * @throws `NOT_FOUND`; `JOB_STATE` when it is completed
   */
  async cancel(jobId: string): Promise<void> {
    await this.#control(jobId, "cancel");
  }

  /** How a job is; `null` when there is none with this id. */
  async status(jobId: string): Promise<JobStatus | null> {
    const row = await this.#find(jobId);
    return row === null ? null : statusOf(this.#definition, row);
  }

  /**
   * Jobs, the latest first.
   *
   * @throws `OPTION_INVALID` for a `limit` outside its range
   */
  async list({ status, limit = LIST_DEFAULT }: JobQuery = {}): Promise<JobStatus[]> {
    if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX) {
      const message = `limit must be a whole number from 1 to ${LIST_MAX}, not ${limit}.`;
      throw new BatchworkError("OPTION_INVALID", message, { field: "limit", value: limit });
    }
    const { ready, storage } = this.#definition;
    await ready();
    const statuses = status === undefined ? null : statusesOf(status);
    const jobs: JobStatus[] = [];
    let before: number | null = null;
    for (;;) {
      const query = { kind: JOB_KIND, name: this.name, statuses, before, limit };
      const rows: LoopRow[] = await storage.loops.list(query);
      for (const row of rows) {
        if (jobs.length === limit) return jobs;
        const job = await statusOf(this.#definition, row);
        if (status === undefined || job.status === status) jobs.push(job);
      }
      if (rows.length < limit) return jobs;
      before = rows.at(-1)?.id ?? null;
    }
  }

  /**
   * Deletes a job that has ended, with what was kept for its proof. Its dead letters stay.
   *
   * @throws `NOT_FOUND`; `JOB_STATE` while it is pending, running or paused
   */
  async delete(jobId: string): Promise<void> {
    const row = await this.#found(jobId);
    const { loops } = this.#definition.storage;
    if (!hasEnded(row.status)) throw this.#wrongState(row, "delete", "cancel it first");
    const ended: LoopStatus[] = ["done", "failed", "cancelled"];
    const ranges = await rangesOf(loops, row);
    // Those of a failed job may be paused, or under way; the job itself goes last.
    await controlRanges(loops, row, "cancel");
    if (ranges.length > 0) {
      await loops.delete(
        ranges.map(({ id }) => id),
        ended,
      );
    }
    const gone = await loops.delete([row.id], ended);
    if (gone.length > 0) return;
    // Resumed in between, or deleted by somebody else.
    throw this.#wrongState(await this.#found(jobId), "delete", "cancel it first");
  }

  async #control(jobId: string, event: "pause" | "resume" | "cancel"): Promise<void> {
    const row = await this.#found(jobId);
    const { storage, wake } = this.#definition;
    const { loops } = storage;
    const ranges = await rangesOf(loops, row);
    const ids = [row.id, ...ranges.map(({ id }) => id)];
    const [own] = await loops.control(ids, event);
    const loop = own?.loop ?? null;
    if (loop === null) throw this.#notFound(jobId);
    if (loop.status !== LEADS_TO[event]) {
      throw this.#wrongState(loop, event, "it has ended: start another one");
    }
    // Partitions that were made in between.
    if (ranges.length === 0) await controlRanges(loops, loop, event);
    wake();
  }

  async #find(jobId: string): Promise<LoopRow | null> {
    checkJobId(jobId);
    await this.#definition.ready();
    const [row] = await this.#definition.storage.loops.get([jobKey(this.name, jobId)]);
    return row ?? null;
  }

  async #found(jobId: string): Promise<LoopRow> {
    const row = await this.#find(jobId);
    if (row === null) throw this.#notFound(jobId);
    return row;
  }

  #notFound(jobId: string): BatchworkError {
    const message = `Iterator "${this.name}" has no job "${jobId}".`;
    return new BatchworkError("NOT_FOUND", message, { field: "jobId", value: jobId });
  }

  #exists(jobId: string): BatchworkError {
    const message =
      `Iterator "${this.name}" has a job "${jobId}" already: use another id, or delete the job ` +
      "when it has ended.";
    return new BatchworkError("JOB_EXISTS", message, { field: "jobId", value: jobId });
  }

  #wrongState(row: LoopRow, what: string, advice: string): BatchworkError {
    const state = nameOf(row, []);
    const problem = `is ${state}; ${what} is not possible: ${advice}`;
    const message = `Job "${row.part}" of "${this.name}" ${problem}.`;
    return new BatchworkError("JOB_STATE", message, { field: "jobId", value: state });
  }
}
