/**
 * One owner's way through a job, or through one of its partitions: one step after another, each
 * written under the token, until the loop is no longer ours.
 */
import { hasCode, storedError } from "../core/errors.ts";
import {
  afterFailure,
  afterPage,
  backoffMs,
  pageSize,
  patienceMs,
  type JobState,
} from "../core/iterator-state.ts";
import type { LoopMove } from "../core/loop-step.ts";
import type { LoopLease } from "../core/loop-transitions.ts";
import type { LoopRow, LoopStep, StepAnswer } from "../storage/loops.ts";
import type { OpenTable } from "../storage/tables.ts";
import { isPassing } from "./before-flush.ts";
import { sleep, turn } from "./clock.ts";
import { Census, sectionEnd, Verification, visited } from "./iterator-coverage.ts";
import type { IteratorDefinition } from "./iterator-definition.ts";
import { complete, isSettled } from "./iterator-end.ts";
import type { LoopSignals } from "./loop-runner.ts";
import { PageRun, type PageOutcome } from "./iterator-page.ts";
import { joinPartitions, wakeJob } from "./iterator-partitions.ts";
import type { PageReader } from "./iterator-source.ts";
import { later, ON, type Change, type JobOwner, type Reading } from "./iterator-steps.ts";
import { PageTransactions } from "./iterator-transaction.ts";

/** At most this long without a turn of the event loop, ms, unless a page takes longer. */
const UNTURNED_MS = 5;

const WRITE_RETRY_MS = 25;
const WRITE_RETRY_MS_MAX = 4500;

/** How often a job looks whether its partitions, or what is retried apart, are through, ms. */
const LOOK_MS = 1000;

export class Chain implements JobOwner {
  readonly definition: IteratorDefinition;
  readonly row: LoopRow;
  readonly lease: LoopLease;
  readonly jobId: string;
  state: JobState;
  cursor: string | null;
  /** Steps written so far. */
  step: number;
  readonly #signals: LoopSignals;
  #attempt: number;
  #owned = true;
  #ended = false;
  #table: OpenTable | null | undefined;
  #reader: PageReader | undefined;
  #verification: Verification | undefined;

  constructor(definition: IteratorDefinition, row: LoopRow, signals: LoopSignals) {
    this.definition = definition;
    this.row = row;
    this.lease = { loop: row.id, token: row.token };
    this.jobId = row.part.replace(/\/\d+$/v, "");
    this.state = JSON.parse(row.state) as JobState;
    this.cursor = row.cursor;
    this.step = row.step;
    this.#attempt = row.attempt;
    this.#signals = signals;
  }

  /** Until the loop is released, ended, or somebody else's. */
  async run(): Promise<void> {
    const { signal, stopping } = this.#signals;
    const { clock } = this.definition.around;
    let turnedAt = clock.monotonicMs();
    try {
      while (this.#owned && !signal.aborted) {
        if (stopping.aborted) {
          await this.definition.storage.loops.release([this.lease]);
          return;
        }
        await this.#turn();
        // Where nothing has to be waited for, timers would never be served: a lease would run out.
        if (clock.monotonicMs() - turnedAt < UNTURNED_MS) continue;
        await turn(clock);
        turnedAt = clock.monotonicMs();
      }
      if (this.#ended) await wakeJob(this);
    } finally {
      await this.#reader?.end();
    }
  }

  async #turn(): Promise<void> {
    switch (this.state.phase) {
      case "census":
        return this.#attempting(async () => this.#census());
      case "walk":
        return this.#attempting(async () => this.#walk());
      case "verify":
        return this.#attempting(async () => this.#verify());
      case "join":
        return this.#join();
      case "settle":
        return this.#settle();
      case "complete":
        return complete(this);
    }
  }

  /** What goes wrong before a page is there counts as an attempt at it. */
  async #attempting(turn: () => Promise<void>): Promise<void> {
    try {
      await turn();
    } catch (error) {
      if (this.#signals.signal.aborted || hasCode(error, "LEASE_LOST")) this.#owned = false;
      else await this.#failed(error, this.state);
    }
  }

  async #opened(): Promise<OpenTable> {
    this.#table ??= await this.definition.table();
    return this.#table as OpenTable;
  }

  async #census(): Promise<void> {
    const census = new Census(await this.#opened());
    await this.write(await census.step(this));
  }

  async #walk(): Promise<void> {
    if (await this.#unhealthy()) return;
    this.#table ??= await this.definition.table();
    this.#reader ??= this.definition.reader(this.#table);
    const { state, jobId } = this;
    const { coverage } = this.definition.options;
    const to = coverage ? sectionEnd(state) : state.to;
    const size = pageSize(state, this.definition.limits);
    const cursor = this.cursor ?? state.from;
    const page = await this.#reader.next({ jobId, cursor, to, size });
    if (!coverage) {
      await this.#process({ page, behind: (given) => ({ state: given }), last: page.done });
      return;
    }
    await this.#process(visited(state, page));
  }

  async #verify(): Promise<void> {
    const { definition } = this;
    this.#verification ??= new Verification(await this.#opened(), definition.storage, this.row.id);
    await this.#process(await this.#verification.next(this));
  }

  async #join(): Promise<void> {
    const joined = await joinPartitions(this);
    if (joined === null) {
      await this.write({ state: this.state, move: later(LOOK_MS) });
    } else if (joined.error === null) {
      await this.write({ state: { ...joined.state, phase: "settle" }, move: ON });
    } else {
      await this.write({ state: joined.state, move: { to: "failed" }, error: joined.error });
    }
  }

  async #settle(): Promise<void> {
    const { state } = this;
    const settled = await isSettled(this);
    const complete: Change = { state: { ...state, phase: "complete" }, move: ON };
    await this.write(settled ? complete : { state, move: later(LOOK_MS) });
  }

  /** True when the health check has the job wait. */
  async #unhealthy(): Promise<boolean> {
    const { given, options } = this.definition;
    if (given.healthCheck === undefined) return false;
    const answer = await given.healthCheck();
    if (answer === true) return false;
    const waitsFor = typeof answer === "string" && answer !== "" ? answer : "healthCheck said no";
    await this.write({
      state: { ...this.state, waitsFor },
      move: later(options.healthCheckMs),
      attempt: this.#attempt,
    });
    return true;
  }

  /** Has a page processed, and writes what came of it. */
  async #process(reading: Reading): Promise<void> {
    const { items } = reading.page;
    if (items.length === 0) {
      const behind = reading.behind(this.state, this.step + 1);
      await this.write(this.#passed(reading, behind));
      return;
    }
    const { definition, jobId } = this;
    const { clock } = definition.around;
    const startedAt = clock.monotonicMs();
    const transactions = new PageTransactions(this, reading, startedAt);
    const { dryRun } = this.state.settings;
    const work = { jobId, items, attempt: this.#attempt + 1, dryRun };
    const run = new PageRun(definition, work, this.#signals.signal, transactions.commit);
    const outcome = await run.execute();
    if (outcome.committed) return;
    await this.#concluded(reading, outcome, transactions, startedAt);
  }

  async #concluded(
    reading: Reading,
    { thrown, failed }: PageOutcome,
    transactions: PageTransactions,
    startedAt: number,
  ): Promise<void> {
    if (this.#signals.signal.aborted || !this.#owned) return;
    if (thrown === undefined) {
      await transactions.write(failed);
      return;
    }
    const { error } = thrown;
    if (hasCode(error, "LEASE_LOST")) {
      this.#owned = false;
      return;
    }
    const { options, around } = this.definition;
    const count = reading.page.items.length;
    const bisect = options.onFailure === "bisect" && !this.state.settings.dryRun;
    if (bisect && count === 1) {
      await transactions.write(new Map([[0, error]]));
      return;
    }
    const durationMs = around.clock.monotonicMs() - startedAt;
    const end = { count, durationMs, timedOut: hasCode(error, "HANDLER_TIMEOUT") };
    const state = afterFailure(this.state, options, end, bisect);
    if (bisect) await this.write({ state, move: ON, error: storedError(error) });
    else await this.#failed(error, state);
  }

  /** An attempt failed: another one later, until there were enough. */
  async #failed(error: unknown, state: JobState): Promise<void> {
    const attempt = this.#attempt + 1;
    const over = attempt >= this.definition.options.maxRetries;
    const move: LoopMove = over ? { to: "failed" } : later(backoffMs(attempt));
    await this.write({ state, move, attempt, error: storedError(error) });
  }

  /** An attempt at `onComplete` failed: it is called again, however often. */
  async failedToComplete(error: unknown): Promise<void> {
    const attempt = this.#attempt + 1;
    const move = later(backoffMs(attempt));
    await this.write({ state: this.state, move, attempt, error: storedError(error) });
  }

  /** What is written once a page is processed. */
  passed(reading: Reading, failed: number, startedAt: number, wouldChange: number): Change {
    const { clock } = this.definition.around;
    const end = {
      count: reading.page.items.length,
      durationMs: clock.monotonicMs() - startedAt,
      now: clock.wallMs(),
      delayMs: this.definition.options.delayBetweenBatchesMs,
      failed,
      wouldChange,
    };
    const behind = reading.behind(this.state, this.step + 1);
    const state = afterPage(behind.state, this.definition.limits, end);
    return this.#passed(reading, { ...behind, state });
  }

  #passed(reading: Reading, behind: { state: JobState; note?: string }): Change {
    const { page, last } = reading;
    const { state: given } = behind;
    const note = behind.note === undefined ? {} : { note: behind.note };
    const cursor = page.cursor;
    if (!last) {
      const waitMs = Math.max(
        patienceMs(given),
        this.state.phase === "walk" ? this.definition.options.delayBetweenBatchesMs : 0,
      );
      return { state: given, cursor, move: later(waitMs), ...note };
    }
    if (this.state.phase === "walk" && this.definition.options.coverage) {
      const state: JobState = { ...given, phase: "verify", section: 0, atEnd: null };
      return { state, cursor: null, move: ON, ...note };
    }
    return { ...this.#through(given), cursor, ...note };
  }

  /** Nothing is left to be read. */
  #through(state: JobState): Change {
    if (state.job !== null) return { state, move: { to: "done" } };
    const { given } = this.definition;
    const quiet = given.onComplete === undefined || state.settings.dryRun;
    if (state.handed === 0 && quiet) return { state, move: { to: "done" } };
    const phase = state.handed === 0 ? "complete" : "settle";
    return { state: { ...state, phase }, move: ON };
  }

  /** The step that a change makes. */
  stepOf(change: Change): LoopStep {
    const { state, move, attempt = 0, error = null, note } = change;
    return {
      ...this.lease,
      step: this.step + 1,
      cursor: change.cursor === undefined ? this.cursor : change.cursor,
      state: JSON.stringify(state),
      attempt,
      error,
      move,
      ...(note === undefined ? {} : { note }),
    };
  }

  /** Writes a step, for as long as it takes. */
  async write(change: Change): Promise<void> {
    const { storage, around } = this.definition;
    const step = this.stepOf(change);
    for (let failures = 1; this.#owned; failures++) {
      try {
        const [answer] = await storage.loops.advance([step]);
        this.took(change, step, answer as StepAnswer);
        break;
      } catch (error) {
        if (!isPassing(error) || this.#signals.signal.aborted) throw error;
        const fields = { name: this.definition.name, jobId: this.jobId, error };
        around.logger.warn("Writing down how far a job is failed; it is tried again.", fields);
        await sleep(around.clock, Math.min(WRITE_RETRY_MS * 2 ** failures, WRITE_RETRY_MS_MAX));
      }
    }
  }

  /** Somebody else has it, or it was cancelled. */
  lost(): void {
    this.#owned = false;
  }

  /** A step is written, or refused. */
  took(change: Change, step: LoopStep, answer: StepAnswer): void {
    if (answer.result === "lost") {
      this.#owned = false;
      return;
    }
    this.step = step.step;
    this.state = change.state;
    this.cursor = step.cursor;
    this.#attempt = step.attempt;
    this.#owned = answer.owned;
    this.#ended = answer.status === "done" || answer.status === "failed";
  }
}
