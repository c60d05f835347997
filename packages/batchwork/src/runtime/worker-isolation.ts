/**
 * Keeps what cannot be processed from holding up the rest: a batch that fails is taken apart, what
 * fails alone is tried again later, and is a dead letter when it is out of attempts. The same for
 * what kills its process.
 */
import { halves } from "../core/bisect.ts";
import { revivedError, storedError, type StoredError } from "../core/errors.ts";
import {
  afterDeath,
  afterFailure,
  afterProcessed,
  beforeTrying,
  FAILING_MAX,
  type WorkerState,
} from "../core/worker-state.ts";
import { Attempt } from "./worker-attempt.ts";
import { WORKER_KIND } from "./worker-definition.ts";
import { Units } from "./worker-units.ts";
import { KEEP, type WorkerWriter } from "./worker-writer.ts";

/** Dead letters that are looked at; with more, `setAside` has to keep them out of the way. */
const LETTERS_MAX = 1000;

export class WorkerIsolation {
  /** Dead letters that nobody keeps out of the way: what is found of them is left out. */
  readonly dead = new Set<string>();
  readonly #writer: WorkerWriter;
  readonly #backOff: (error: unknown) => Promise<void>;

  /** `backOff`: lets go of the loop for a while. */
  constructor(writer: WorkerWriter, backOff: (error: unknown) => Promise<void>) {
    this.#writer = writer;
    this.#backOff = backOff;
  }

  /** A batch failed as a whole: smaller ones are tried, down to one item; that one waits. */
  async isolate(units: Units, error: unknown): Promise<void> {
    const { state } = this.#writer;
    this.#writer.state = { ...state, failures: state.failures + 1 };
    if (units.count === 1) {
      await this.#failed(units, error);
      return;
    }
    for (const positions of halves(units.count)) await this.part(units.pick(positions));
  }

  /** Processes a part in a transaction of its own. */
  async part(units: Units): Promise<void> {
    const writer = this.#writer;
    // What is left out now is found again by whoever looks next.
    if (!writer.going || writer.state.failing.length >= FAILING_MAX) return;
    if (writer.state.trying !== null) await this.#noteTrying(units);
    const attempt = new Attempt();
    const transacted = await attempt.settle(
      writer.transact(
        false,
        (tx) => attempt.watch(() => writer.process(tx, units.batch)),
        () => writer.next(this.processed(units), KEEP),
      ),
    );
    if (attempt.failed) await this.isolate(units, attempt.error);
    else writer.wrote(transacted?.answer ?? null);
  }

  /** The state after these were processed. */
  processed(units: Units): WorkerState {
    const { state } = this.#writer;
    const texts = state.failing.length > 0 ? this.#textsOf(units) : [];
    return { ...afterProcessed(state, units.count, texts), whole: units.whole };
  }

  /**
   * The owner before died. Over what, is found out by writing down what is tried before it is.
   */
  async takeOver(): Promise<void> {
    const { definition, state } = this.#writer;
    const { maxCrashes } = definition.around;
    const after = afterDeath(state, maxCrashes);
    if (after.deadly === null) {
      await this.#writer.advance(after.state, KEEP);
      return;
    }
    const message = `The process died ${maxCrashes} times while it processed this alone.`;
    const error = { name: "BatchworkError", message, code: "CRASHED" };
    const trying = { limit: 1, texts: [], deaths: 0 };
    await this.#bury(after.deadly, error, 0, { ...after.state, trying });
  }

  /** Reads what is dead, and tries once more what somebody asked for. */
  async readLetters(): Promise<void> {
    const { definition, row } = this.#writer;
    const { name, part } = row;
    const query = { kind: WORKER_KIND, name, part, marked: false, after: 0, limit: LETTERS_MAX };
    for (const { id, item, marked } of await definition.storage.loops.deadLetters(query)) {
      if (marked) await this.#redrive(id, item);
      else if (definition.given.setAside === undefined) this.dead.add(item);
    }
  }

  /** One item, or a batch that is not an array, failed alone. */
  async #failed(units: Units, error: unknown): Promise<void> {
    const { definition, now } = this.#writer;
    const text = definition.textOf(units.items[0]);
    const { retries } = definition.options;
    const state = { ...this.#writer.state, whole: units.whole };
    const failed = afterFailure(state, text, retries, now, definition.around.clock.random());
    const stored = storedError(error);
    if (failed.dead) await this.#bury(text, stored, failed.attempts, failed.state);
    else await this.#writer.advance(failed.state, KEEP, { error: stored });
  }

  /** Makes a dead letter of it, and has the user keep it out of the way, in one transaction. */
  async #bury(
    text: string,
    error: StoredError,
    attempts: number,
    state: WorkerState,
    revive: readonly number[] = [],
  ): Promise<void> {
    const writer = this.#writer;
    const { given, around } = writer.definition;
    const items = [writer.definition.itemOf(text)];
    const bury = [{ item: text, error, attempts }];
    const attempt = new Attempt();
    const transacted = await attempt.settle(
      writer.transact(
        false,
        (tx) => attempt.watch(() => given.setAside?.(tx as never, items, revivedError(error))),
        () => writer.next(state, KEEP, { error, bury, revive }),
      ),
    );
    if (attempt.failed) {
      await this.#backOff(attempt.error);
      return;
    }
    if (given.setAside === undefined) this.dead.add(text);
    writer.wrote(transacted?.answer ?? null);
    const { name: worker, part: partition } = writer.row;
    const message = "A worker gave something up: it is a dead letter.";
    around.logger.warn(message, { worker, partition, attempts, error });
  }

  /** Somebody asked for another try of a dead letter: one, by itself. */
  async #redrive(id: number, text: string): Promise<void> {
    const writer = this.#writer;
    if (!writer.going) return;
    const units = new Units([writer.definition.itemOf(text)], writer.state.whole);
    const attempt = new Attempt();
    const transacted = await attempt.settle(
      writer.transact(
        false,
        (tx) => attempt.watch(() => writer.process(tx, units.batch)),
        () => writer.next(this.processed(units), KEEP, { revive: [id] }),
      ),
    );
    if (attempt.failed) await this.#bury(text, storedError(attempt.error), 1, writer.state, [id]);
    else writer.wrote(transacted?.answer ?? null);
  }

  async #noteTrying(units: Units): Promise<void> {
    const { state } = this.#writer;
    if (state.trying === null) return;
    const trying = beforeTrying(state.trying, this.#textsOf(units));
    await this.#writer.advance({ ...state, trying }, KEEP);
  }

  #textsOf({ items }: Units): string[] {
    return items.map((item) => this.#writer.definition.textOf(item));
  }
}
