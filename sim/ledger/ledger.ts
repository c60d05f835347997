/**
 * The ledger: a second account of everything, kept from what goes in and out of the storage port.
 * It knows every grant that was handed out by a number of its own, so it notices when a superseded
 * owner changes something even if the storage's tokens do not.
 */
import type { Scheduler } from "../scheduler.ts";
import type { Trace } from "../trace.ts";
import { ViolationError, type Invariant } from "../violation.ts";
import type {
  BatchRecord,
  Grant,
  GroupRecord,
  IncarnationRecord,
  ItemRecord,
  QueuePolicy,
  QueueRecord,
} from "./records.ts";
import { LedgerTime } from "./time.ts";

/** What a run delivered. */
export interface Totals {
  appended: number;
  claims: number;
  /** Claims of a batch that was claimed before. */
  reclaims: number;
  settled: number;
  lost: number;
  redriven: number;
  /** Duplicates. */
  leftOut: number;
  /** Incarnations declared dead. */
  buried: number;
}

/** What the ledger is told before the run. */
export interface LedgerParts {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  /** By name of the queue. */
  readonly policies: ReadonlyMap<string, QueuePolicy>;
  readonly maxCrashes: number;
  readonly effectsOf: (uid: number) => number;
}

export class Ledger {
  readonly time: LedgerTime;
  readonly byText = new Map<string, ItemRecord>();
  readonly byUid = new Map<number, ItemRecord>();
  readonly byId = new Map<string, ItemRecord>();
  /** By queue and idempotency key: the item that holds it. */
  readonly keys = new Map<string, ItemRecord>();
  readonly batches = new Map<number, BatchRecord>();
  readonly live = new Set<BatchRecord>();
  readonly grants = new Map<number, Grant>();
  readonly queues = new Map<number, QueueRecord>();
  /** Incarnations that were declared dead while they held batches, and did not deny it. */
  readonly slandered = new Set<IncarnationRecord>();
  readonly incarnations = new Map<number, IncarnationRecord>();
  readonly totals: Totals = {
    appended: 0,
    claims: 0,
    reclaims: 0,
    settled: 0,
    lost: 0,
    redriven: 0,
    leftOut: 0,
    buried: 0,
  };
  /** The first broken promise. */
  violation: ViolationError | null = null;
  readonly maxCrashes: number;
  /** Committed effects of an item. */
  readonly effectsOf: (uid: number) => number;
  readonly #policies: ReadonlyMap<string, QueuePolicy>;
  readonly #scheduler: Scheduler;
  readonly #trace: Trace;
  #tail: Promise<unknown> = Promise.resolve();

  constructor({ scheduler, trace, policies, maxCrashes, effectsOf }: LedgerParts) {
    this.#scheduler = scheduler;
    this.#trace = trace;
    this.#policies = policies;
    this.maxCrashes = maxCrashes;
    this.effectsOf = effectsOf;
    this.time = new LedgerTime(scheduler, this);
  }

  get now(): number {
    return this.#scheduler.now;
  }

  /** Notes a broken promise; the run ends after the current event. */
  fail(invariant: Invariant, detail: string): void {
    this.violation ??= new ViolationError(invariant, detail);
  }

  note(who: string, what: string): void {
    this.#trace.line(this.#scheduler.now, who, what);
  }

  /** One call at a time, so the account is kept in the order in which the storage commits. */
  serially<R>(run: () => Promise<R>): Promise<R> {
    const result = this.#tail.then(run);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  define(name: string, id: number, paused: boolean): void {
    const known = this.queues.get(id);
    if (known === undefined) {
      for (const queue of this.queues.values()) {
        if (queue.name === name) this.fail("I-11 transitions", `queue ${name} has two ids`);
      }
      const policy = this.#policies.get(name) as QueuePolicy;
      const groups = new Map<string, GroupRecord>();
      this.queues.set(id, {
        id,
        name,
        paused,
        groups,
        dead: [],
        leased: 0,
        policy,
        delivered: [],
        claim: null,
      });
      if (paused) this.fail("I-11 transitions", `queue ${name} is paused from the start`);
      return;
    }
    if (known.name !== name) this.fail("I-11 transitions", `queue id ${id} is used twice`);
    if (known.paused !== paused) this.fail("I-11 transitions", `queue ${name} paused: ${paused}`);
  }

  queue(id: number): QueueRecord {
    return this.queues.get(id) as QueueRecord;
  }

  group(queue: number, name: string): GroupRecord {
    const { groups } = this.queue(queue);
    let group = groups.get(name);
    if (group === undefined) {
      group = {
        queue,
        name,
        waiting: [],
        leased: 0,
        passedOver: 0,
        claimableSince: null,
        knownSince: null,
      };
      groups.set(name, group);
    }
    return group;
  }

  isCurrent(grant: Grant): boolean {
    return grant.batch.grant === grant;
  }

  /** Takes a batch from its owner. */
  unlease(batch: BatchRecord): void {
    if (batch.grant === null) return;
    batch.grant = null;
    this.queue(batch.queue).leased--;
    this.group(batch.queue, batch.group).leased--;
  }

  /** Puts a batch in line. */
  wait(batch: BatchRecord, readyFrom: number, readyBy: number): void {
    this.unlease(batch);
    batch.state = "ready";
    batch.readyFrom = readyFrom;
    batch.readyBy = readyBy;
    this.live.add(batch);
  }

  /** Nothing is left to do with a batch itself. */
  finish(batch: BatchRecord): void {
    this.unlease(batch);
    batch.state = "done";
    this.live.delete(batch);
  }

  /** The batches that an incarnation holds. */
  heldBy(incarnation: number): BatchRecord[] {
    return [...this.live].filter(({ grant }) => grant?.incarnation === incarnation);
  }
}
