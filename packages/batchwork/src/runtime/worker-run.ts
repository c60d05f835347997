/**
 * What the owner of a worker's loop does: looks, processes, and looks again, each in a transaction
 * with the loop's state; waits while it is warm; gives the loop back when it has to wait longer.
 */
import { hasCode, storedError } from "../core/errors.ts";
import type { LoopMove } from "../core/loop-step.ts";
import { retryDelayMs } from "../core/retry.ts";
import { FAILING_MAX, notYet, untilRetry, type WorkerWait } from "../core/worker-state.ts";
import type { LoopRow, LoopStep } from "../storage/loops.ts";
import { sleep, turn } from "./clock.ts";
import type { LoopSignals } from "./loop-runner.ts";
import { andThen, Attempt } from "./worker-attempt.ts";
import { Cooldown } from "./worker-cooldown.ts";
import type { WorkerDefinition } from "./worker-definition.ts";
import { WorkerIsolation } from "./worker-isolation.ts";
import type { Work, WorkerIdle } from "./worker-options.ts";
import { Units } from "./worker-units.ts";
import { debounceOf, KEEP, WorkerWriter } from "./worker-writer.ts";

/** How long to wait for somebody who pinged and has not committed, ms. */
const UNHEARD_MS = 10;

/** The loop runs without a turn for others for so long at most, ms and looks. */
const TURN_MS = 4;
const TURN_LOOKS = 16;

/** What a look found. */
interface Found {
  /** `undefined`: nothing, or only what waits or is dead. */
  readonly units?: Units;
  readonly idle: Omit<WorkerIdle, "kind">;
  /** What `process` asked for. */
  readonly debounceMs: number;
}

const NOTHING: Found = { idle: {}, debounceMs: 0 };

export class WorkerRun {
  readonly #writer: WorkerWriter;
  readonly #isolation: WorkerIsolation;
  readonly #cooldown: Cooldown;
  /** Since the last turn of the event loop. */
  #looks = 0;
  #turnedAt = Number.NEGATIVE_INFINITY;

  constructor(definition: WorkerDefinition, row: LoopRow, signals: LoopSignals) {
    this.#writer = new WorkerWriter(definition, row, signals);
    this.#isolation = new WorkerIsolation(this.#writer, async (error) => this.#backOff(error));
    this.#cooldown = new Cooldown(definition.around.clock, definition.news);
  }

  /** Until the loop is given back, or somebody else's. */
  async run(): Promise<void> {
    const writer = this.#writer;
    try {
      if (writer.row.crashes > 0) await this.#isolation.takeOver();
      await this.#isolation.readLetters();
      while (writer.going) {
        await this.#turn();
        await this.#letOthers();
      }
      if (writer.owned && !writer.signals.signal.aborted) await writer.release();
    } catch (error) {
      // Somebody else has the loop, or it was stopped: nothing of this was written.
      if (!hasCode(error, "LEASE_LOST")) throw error;
      await writer.release();
    }
  }

  /** Transactions of SQLite end without a turn of the event loop, and timers would starve. */
  async #letOthers(): Promise<void> {
    const { clock } = this.#writer.definition.around;
    this.#looks++;
    const now = clock.monotonicMs();
    if (this.#looks < TURN_LOOKS && now - this.#turnedAt < TURN_MS) return;
    await turn(clock);
    this.#looks = 0;
    this.#turnedAt = clock.monotonicMs();
  }

  async #turn(): Promise<void> {
    const { definition, row, state, now } = this.#writer;
    const { logger, clock } = definition.around;
    const { monitorLagMs, name: worker } = definition.options;
    const monitor = clock.after(monitorLagMs, () => {
      const message = "A worker's look takes longer than monitorLagMs.";
      logger.warn(message, { worker, partition: row.part, monitorLagMs });
    });
    try {
      const full = state.failing.length >= FAILING_MAX;
      const waitMs = full ? (untilRetry(state, now) ?? 0) : 0;
      if (waitMs > 0) await this.#waitForRetry(waitMs);
      else await this.#look();
    } finally {
      monitor.cancel();
    }
  }

  /** Looks, and processes what was found, in one transaction. */
  async #look(): Promise<void> {
    const writer = this.#writer;
    const cautious = writer.state.trying !== null;
    const confirm = this.#cooldown.over;
    const attempt = new Attempt();
    let found = NOTHING;
    const look = (tx: unknown): unknown =>
      andThen(this.#query(tx), (work) => {
        found = this.#sift(work);
        const { units } = found;
        if (units === undefined || cautious) return;
        return andThen(writer.process(tx, units.batch), (processed) => {
          found = { ...found, debounceMs: debounceOf(processed) };
        });
      });
    const transacted = await attempt.settle(
      writer.transact(
        confirm,
        (tx) => attempt.watch(() => look(tx)),
        () => (cautious && found.units !== undefined ? null : this.#stepAfter(found, confirm)),
      ),
    );
    if (attempt.failed) await this.#lookFailed(found.units, attempt.error);
    else if (transacted === null) await sleep(writer.definition.around.clock, UNHEARD_MS);
    else await this.#looked(found, transacted?.answer ?? null, cautious);
  }

  async #lookFailed(units: Units | undefined, error: unknown): Promise<void> {
    if (units === undefined) await this.#backOff(error);
    else await this.#isolation.isolate(units, error);
  }

  async #looked(
    { units, idle }: Found,
    answer: Parameters<WorkerWriter["wrote"]>[0],
    cautious: boolean,
  ): Promise<void> {
    const writer = this.#writer;
    writer.wrote(answer);
    if (units === undefined) {
      if (writer.owned) await this.#cooldown.wait(idle, writer.signals);
      return;
    }
    this.#cooldown.end();
    if (!cautious) return;
    const limit = writer.state.trying?.limit ?? units.count;
    await this.#isolation.part(units.first(limit));
  }

  /** The step that is written with what a look found; `null` when it writes nothing. */
  #stepAfter({ units, idle, debounceMs }: Found, confirm: boolean): LoopStep | null {
    const writer = this.#writer;
    if (units !== undefined) {
      const state = this.#isolation.processed(units);
      if (debounceMs === 0) return writer.next(state, KEEP);
      const move: LoopMove = { to: "active", runInMs: debounceMs, keep: false };
      return writer.next({ ...state, waits: "debounce" }, move);
    }
    if (!confirm) return null;
    const { timeoutMs = null } = idle;
    const retryMs = untilRetry(writer.state, writer.now);
    const retries = retryMs !== null && (timeoutMs === null || retryMs < timeoutMs);
    const wakeInMs = retries ? retryMs : timeoutMs;
    let waits: WorkerWait = timeoutMs === null ? "ping" : "timeout";
    if (retries) waits = "backoff";
    const state = { ...writer.state, waits, trying: null };
    return writer.next(state, { to: "idle", wakeInMs });
  }

  #query(tx: unknown): Work<unknown> | PromiseLike<Work<unknown>> {
    const { definition, partition } = this.#writer;
    const except = [...this.#leftOut()].map((text) => definition.itemOf(text));
    return definition.given.query(tx as never, { name: definition.name, partition, except });
  }

  /** Leaves out what waits, and what is dead. */
  #sift(work: Work<unknown>): Found {
    if (work.kind === "idle") return { ...NOTHING, idle: work };
    const all = Units.of(work.batch);
    const out = this.#leftOut();
    const { definition } = this.#writer;
    const units = out.size === 0 ? all : all.filter((item) => !out.has(definition.textOf(item)));
    return units.count === 0 ? NOTHING : { ...NOTHING, units };
  }

  #leftOut(): ReadonlySet<string> {
    const { dead } = this.#isolation;
    const { state, now } = this.#writer;
    return state.failing.length === 0 ? dead : new Set([...dead, ...notYet(state, now)]);
  }

  /** `query` failed, or `setAside`: the loop goes on later, for ever. */
  async #backOff(error: unknown): Promise<void> {
    const writer = this.#writer;
    const { around, options, name: worker } = writer.definition;
    const attempt = ++writer.attempt;
    const runInMs = retryDelayMs(options.retries, attempt, around.clock.random());
    const message = "A worker could not look for work; trying again.";
    const { part: partition } = writer.row;
    around.logger.warn(message, { worker, partition, error, delayMs: runInMs });
    const { state } = writer;
    const failed = { ...state, failures: state.failures + 1, waits: "backoff" } as const;
    const move: LoopMove = { to: "active", runInMs, keep: false };
    await writer.advance(failed, move, { error: storedError(error), attempt });
  }

  async #waitForRetry(runInMs: number): Promise<void> {
    const move: LoopMove = { to: "active", runInMs, keep: false };
    await this.#writer.advance({ ...this.#writer.state, waits: "backoff" }, move);
  }
}
