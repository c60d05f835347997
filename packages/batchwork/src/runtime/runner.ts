/**
 * The loop of one storage: settle what ended, claim what is due, run it. `tick()` is the loop's
 * whole body; everything else only decides when to call it.
 */
import type { ClaimedBatch, Exchanged, Settlement, Storage } from "../storage/storage.ts";
import { Companions, RECONCILE_BEATS, type Companion } from "./companions.ts";
import { Definitions } from "./definitions.ts";
import { processState, type ProcessState } from "./explain.ts";
import { Incarnation } from "./heartbeat.ts";
import { Intake, type AddResult, type IntakeItem } from "./intake.ts";
import { Looks } from "./looks.ts";
import { Notices } from "./notices.ts";
import { addedInside, claimed as tellClaimed, landed, settled, trouble } from "./observation.ts";
import { openQueues } from "./open-queues.ts";
import { Outbox } from "./outbox.ts";
import type { Queue } from "./queue.ts";
import { Rounds } from "./rounds.ts";
import { Run } from "./run.ts";
import { makeAllDue, waitWhile } from "./shutdown.ts";
import { Soon } from "./soon.ts";
import { Starts } from "./starts.ts";
import { StorageTrouble } from "./storage-trouble.ts";
import type { Surroundings } from "./surroundings.ts";
import { Every, Signal } from "./wake.ts";

export class Runner {
  readonly storage: Storage;
  readonly intake: Intake;
  /** Notified whenever batches were settled, or others may have settled some. */
  readonly progressed = new Signal();
  /** What runs here beside the batches. */
  readonly companions = new Companions();
  readonly #around: Surroundings;
  readonly #queues: Queue[] = [];
  /** Those of batches. */
  readonly #claimed: Queue[] = [];
  readonly #runs = new Map<number, Run>();
  readonly #incarnation: Incarnation;
  readonly #looks: Looks;
  readonly #poll: Every;
  readonly #notices: Notices;
  readonly #outbox: Outbox;
  readonly #starts: Starts<Run>;
  readonly #trouble: StorageTrouble;
  readonly #rounds: Rounds;
  #state: "idle" | "started" | "stopping" | "stopped" = "idle";
  #opening: Promise<void> | undefined;
  #defined = 0;
  #beats = 0;

  constructor(storage: Storage, around: Surroundings) {
    this.storage = storage;
    this.#around = around;
    this.#outbox = new Outbox(around);
    const remote = storage.announce !== undefined;
    this.#starts = new Starts(around.clock, remote, (run) => void this.#follow(run));
    this.#rounds = new Rounds(around, {
      active: () => this.#state === "started" || this.#state === "stopping",
      round: async () => this.#round(),
      failed: "A look at the storage failed.",
    });
    this.#looks = new Looks(storage, around, () => void this.#rounds.tickSafely());
    this.#trouble = new StorageTrouble(around, (ms) => this.#looks.within(ms));
    this.#incarnation = new Incarnation(storage, around, {
      died: () => this.#loseAll("LEASE_LOST", "This process was taken for dead."),
      released: () => this.#released(),
      beat: () => this.#afterBeat(),
    });
    this.#notices = new Notices(storage, around, this.#queues, () => this.progressed.notify());
    this.#poll = new Every(around.clock, around.pollMs, async () => this.#lookAround());
    this.companions.add(new Definitions(storage, around, this.#queues));
    this.intake = new Intake(
      new Soon(around.clock, !storage.durable),
      storage,
      async () => this.ready(),
      async (nth) => this.news(nth),
      (given) => {
        const chunks = this.companions.landed(given);
        this.#looks.committed(chunks, this.#state === "started");
        landed(chunks);
      },
    );
    around.gate.whenFree(this, () => this.#looks.now());
  }

  /** True once nothing will be settled here any more. */
  get stopped(): boolean {
    return this.#state === "stopped";
  }

  /** What `explain()` has to know of this process. */
  processState(): ProcessState {
    return processState(this.#state === "started", this.#around);
  }

  /** This life of the process in the storage; 0 before `start`. */
  get incarnation(): number {
    return this.#incarnation.id;
  }

  /** Adds a definition; it takes part from the next tick on. A companion claims it by itself. */
  register(queue: Queue, companion?: Companion): void {
    this.#queues.push(queue);
    if (companion === undefined) this.#claimed.push(queue);
    this.#looks.now();
  }

  /** Resolves once the storage is open and every queue has its id there. */
  async ready(): Promise<void> {
    if (this.#opening !== undefined && this.#defined === this.#queues.length) return this.#opening;
    const queues = [...this.#queues];
    const opening = this.#open(queues);
    this.#opening = opening;
    this.#defined = queues.length;
    try {
      await opening;
    } catch (error) {
      // The next caller tries again.
      if (this.#opening === opening) this.#opening = undefined;
      throw error;
    }
  }

  async start(): Promise<void> {
    if (this.#state !== "idle") return;
    await this.ready();
    await this.#incarnation.begin();
    this.#state = "started";
    this.#poll.start();
    this.#notices.look();
    this.companions.start();
    this.#looks.now();
  }

  /** Looks at the storage soon; others do so as well. */
  wake(): void {
    this.#looks.now();
    this.#looks.elsewhere();
  }

  /**
   * Resolves when something progressed, or when it is time to ask for the `nth` time: nobody tells
   * before `start`, and few storages tell of what others settle.
   */
  news(nth: number): Promise<void> {
    const { clock, tickIntervalMs, pollMs } = this.#around;
    const ms = Math.min(tickIntervalMs, pollMs * 2 ** nth);
    const timer = clock.after(ms, () => this.progressed.notify());
    return this.progressed.wait().finally(() => timer.cancel());
  }

  /** A transaction of somebody else's added to the queue; whether it commits is not known yet. */
  addedInside(queue: Queue, items: readonly IntakeItem[], results: readonly AddResult[]): void {
    this.#looks.committing(queue);
    addedInside(queue, items, results);
  }

  /** Settles what ended and starts what is due, until neither is left for now. */
  tick(): Promise<void> {
    return this.#rounds.tick();
  }

  /**
   * Hands over everything that waits, and runs the tasks that may start meanwhile, what is paused
   * apart, for as long as `graceMs` allows.
   */
  async empty(graceMs: number): Promise<void> {
    if (this.#state !== "started") return;
    const { clock } = this.#around;
    const endAt = clock.monotonicMs() + graceMs;
    const left = (): number => Math.max(0, endAt - clock.monotonicMs());
    const tasks = async (): Promise<boolean> => this.companions.unfinished(left());
    let outstanding = await makeAllDue(this.storage, this.#claimed);
    if (await tasks()) {
      await this.#waitWhile(tasks, left());
      // Who is told that tasks ended is told as batches are.
      outstanding = await makeAllDue(this.storage, this.#claimed);
    }
    await this.#waitWhile(outstanding, left());
  }

  /**
   * Claims nothing more, then waits until every handler ended and is settled, and the `onDead` that
   * is under way as well, or `graceMs` passed.
   */
  async drainRuns(graceMs: number): Promise<void> {
    if (this.#state === "started") this.#state = "stopping";
    const { clock } = this.#around;
    const endAt = clock.monotonicMs() + graceMs;
    const busy = async (): Promise<boolean> =>
      this.#runs.size > 0 || this.#outbox.waiting.length > 0;
    await Promise.all([this.#waitWhile(busy, graceMs), this.companions.drain(graceMs)]);
    this.#notices.stop();
    const left = Math.max(0, endAt - clock.monotonicMs());
    await this.#waitWhile(async () => this.#notices.busy, left);
  }

  /** Aborts what still runs, gives all leases back, and closes the storage. */
  async close(): Promise<void> {
    this.#state = "stopped";
    this.#looks.stop();
    this.#loseAll("STOPPED", "The engine was stopped before the handler ended.");
    await this.#poll.stop();
    await this.#rounds.ended();
    await this.companions.close();
    await this.#incarnation.end();
    this.#looks.elsewhere();
    this.progressed.notify();
    await this.storage.close();
  }

  #waitWhile(busy: () => Promise<boolean>, graceMs: number): Promise<void> {
    const { clock } = this.#around;
    return waitWhile({ busy, graceMs, clock, progressed: this.progressed, wake: this.#looks });
  }

  async #open(queues: readonly Queue[]): Promise<void> {
    await openQueues(this.storage, this.#around, queues, (ms) => {
      this.#looks.heard(ms);
      this.companions.look(ms);
    });
    await this.companions.ready();
  }

  /** A companion has stored dead letters. */
  buried(): void {
    this.#notices.look();
  }

  /** Batches, or dead letters, of a process that died. */
  #released(): void {
    this.#looks.now();
    this.companions.look();
    this.#notices.look();
  }

  async #lookAround(): Promise<void> {
    try {
      if (!this.storage.changed()) return;
      this.progressed.notify();
      this.#looks.now();
      this.companions.look();
    } catch (error) {
      trouble(this.#around, "warn", "Asking the storage for changes failed.", { error });
    }
  }

  async #round(): Promise<void> {
    if (this.#trouble.doubt) await this.#trouble.settle(async () => this.#reconcile());
    try {
      await this.ready();
    } catch (error) {
      this.#trouble.failed(error);
      return;
    }
    const { gate } = this.#around;
    const open = this.#state === "started" && gate.isOpenFor(this);
    const queues = [...this.#claimed];
    const claims = queues.map((queue) => queue.claim(open));
    if (this.#outbox.waiting.length === 0 && claims.every(({ limit }) => limit === 0)) return;
    const settlements = this.#outbox.take();
    const alone = open && gate.ask(this);
    let exchanged: Exchanged | undefined;
    for (const { waiting } of queues) waiting.ask();
    try {
      const { id: incarnation } = this.#incarnation;
      const request = { incarnation, settlements, claims, alone };
      exchanged = await this.#starts.exchange(async () => this.storage.exchange(request));
    } catch (error) {
      this.#outbox.giveBack(settlements);
      this.#trouble.failed(error);
    }
    if (exchanged !== undefined) {
      this.#trouble.over();
      this.#settled(settlements, exchanged.settled);
      this.#looks.answered(exchanged);
      this.#count(exchanged, queues, open);
      // All batches enter the gate before anybody else may ask.
      await this.#dispatch(exchanged);
    } else {
      gate.answer(this, false);
      for (const { waiting } of queues) waiting.answered(false);
    }
  }

  /** Takes note of what a look says about the items that wait. */
  #count({ claimed, more, nextAt }: Exchanged, queues: readonly Queue[], open: boolean): void {
    const now = this.#around.clock.monotonicMs();
    for (const batch of claimed) this.#queueOf(batch).waiting.sealed(batch);
    for (const queue of queues) {
      queue.waiting.answered(open && !more);
      if (queue.unsureUntil < Number.POSITIVE_INFINITY) continue;
      // Everything that waits from before the first look has been due by then, and was sealed.
      queue.unsureUntil = nextAt === null ? now : now + queue.maxWaitMs;
    }
  }

  #queueOf(claimed: ClaimedBatch): Queue {
    return this.#queues.find(({ id }) => id === claimed.queue) as Queue;
  }

  /** Releases what is leased to this process and not run by it, and drops what it does not own. */
  async #reconcile(): Promise<void> {
    const running = [...this.#runs.values()].map(({ lease }) => lease);
    const known = [
      ...running,
      ...this.#outbox.waiting.map(({ batch, token }) => ({ batch, token })),
    ];
    for (const { batch, token } of await this.storage.reconcile(this.#incarnation.id, known)) {
      const run = this.#runs.get(batch);
      if (run?.lease.token === token) run.lose("LEASE_LOST", "Another process has this batch.");
    }
  }

  #settled(settlements: readonly Settlement[], answers: readonly ("settled" | "lost")[]): void {
    if (settlements.length === 0) return;
    const { dead, lost } = this.#outbox.answered(settlements, answers);
    for (const lease of lost) {
      this.#around.logger.warn("Another process took a batch over.", { ...lease });
      void this.#incarnation.beat();
    }
    if (dead) this.#notices.look();
    this.progressed.notify();
  }

  async #dispatch({ claimed, suspectWaiting }: Exchanged): Promise<void> {
    // Claimed while the engine stopped: `close` gives it back.
    const runs = this.stopped ? [] : claimed.map((batch) => this.#enter(batch));
    this.#around.gate.answer(this, suspectWaiting);
    await this.#starts.put(runs, { running: this.#runs.size, ended: this.#outbox.waiting.length });
  }

  #enter(claimed: ClaimedBatch): Run {
    const queue = this.#queueOf(claimed);
    tellClaimed(queue, claimed);
    const run = new Run(this.storage, this.#around, queue, claimed);
    queue.running++;
    // Given back meanwhile by somebody else, perhaps: the new token counts.
    this.#runs.get(claimed.batch)?.lose("LEASE_LOST", "The batch was claimed again.");
    this.#runs.set(claimed.batch, run);
    this.#around.gate.enter(claimed.alone);
    return run;
  }

  async #follow(run: Run): Promise<void> {
    const end = await run.execute();
    const { claimed, queue } = run;
    if (this.#runs.get(claimed.batch) === run) this.#runs.delete(claimed.batch);
    queue.running--;
    if (end.kind === "settle") {
      this.#outbox.put(end.settlement, run);
    } else this.progressed.notify();
    if (end.kind === "settled") {
      settled(queue, claimed, end.outcome, run.end, this.#around.hookCalls);
      if (end.outcome.kind === "split") this.#notices.look();
    }
    this.#around.gate.leave(claimed.alone);
    this.#looks.now();
  }

  #loseAll(code: "LEASE_LOST" | "STOPPED", message: string): void {
    for (const run of this.#runs.values()) run.lose(code, message);
    this.companions.lose(code, message);
  }

  /** Now and then: leases are compared, and letters whose `onDead` failed come up again. */
  #afterBeat(): void {
    this.#beats++;
    const doubt = this.#beats % RECONCILE_BEATS === 0;
    this.companions.beat(doubt);
    if (doubt) {
      this.#trouble.doubt = true;
      this.#looks.now();
      this.#notices.look();
    } else this.#notices.retry();
    this.progressed.notify();
  }
}
