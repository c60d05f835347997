/** One process's door to the shared storage, with the ledger looking on. */
import { hasCode } from "../../packages/batchwork/src/core/errors.ts";
import type { KeyedAnswer, KeyedAppend } from "../../packages/batchwork/src/core/keyed.ts";
import type { Lease } from "../../packages/batchwork/src/core/lease.ts";
import type { Member } from "../../packages/batchwork/src/core/members.ts";
import type { ItemResult } from "../../packages/batchwork/src/core/results.ts";
import type { Outcome } from "../../packages/batchwork/src/core/settle.ts";
import type { PreparedPart } from "../../packages/batchwork/src/storage/preparation.ts";
import type {
  AppendedChunk,
  DeadRow,
  Exchange,
  Exchanged,
  NewChunk,
  QueueDefinition,
  QueueInfo,
  Reaped,
  Storage,
  Transact,
} from "../../packages/batchwork/src/storage/storage.ts";
import { noteAppended, noteDiscarded, noteMadeDue, noteRedriven } from "./append.ts";
import { noteExchanged } from "./exchange.ts";
import { noteKeyed, storedOf } from "./keyed.ts";
import type { Ledger } from "./ledger.ts";
import { noteAbsolved, noteEnrolled, noteHeartbeat, noteReaped, noteReleased } from "./leases.ts";
import { PassingStorage } from "./passing-storage.ts";
import { notePrepared } from "./preparation.ts";
import type { Grant } from "./records.ts";
import { noteSettled, type When } from "./settle.ts";

/** Thrown inside a transaction of a process that has just died: it rolls back. */
const DIED = new Error("The process died.");

interface Staged {
  readonly chunks: readonly NewChunk[];
  readonly appended: readonly AppendedChunk[];
}

export class LedgerStorage extends PassingStorage implements Storage {
  #staged: Staged[] = [];

  define(queues: readonly QueueDefinition[]): Promise<QueueInfo[]> {
    return this.serially(async () => {
      const infos = await this.inner.define(queues);
      for (let n = 0; n < queues.length; n++) {
        const { id, paused } = infos[n] as QueueInfo;
        this.ledger.define((queues[n] as QueueDefinition).name, id, paused);
      }
      return infos;
    });
  }

  setPaused(queues: readonly number[], paused: boolean): Promise<void> {
    return this.serially(async () => {
      await this.inner.setPaused(queues, paused);
      for (const id of queues) this.ledger.queue(id).paused = paused;
      this.#note(`${paused ? "pause" : "resume"} ${queues.join(" ")}`);
    });
  }

  append(chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    return this.serially(async () => {
      const appended = await this.inner.append(chunks);
      this.#noteAppended(chunks, appended);
      return appended;
    });
  }

  appendInside(tx: unknown, chunks: readonly NewChunk[]): AppendedChunk[] {
    const appended = this.inner.appendInside(tx, chunks);
    this.#staged.push({ chunks, appended });
    return appended;
  }

  async appendWithin(tx: unknown, chunks: readonly NewChunk[]): Promise<AppendedChunk[]> {
    const appended = await this.inner.appendWithin(tx, chunks);
    this.#staged.push({ chunks, appended });
    return appended;
  }

  appendKeyed(append: KeyedAppend): Promise<KeyedAnswer[]> {
    return this.serially(async () => {
      const answers = await this.inner.appendKeyed(append);
      const { chunks, appended } = storedOf(append, answers);
      this.#noteAppended(chunks, appended);
      noteKeyed(this.ledger, append, answers);
      return answers;
    });
  }

  appendKeyedInside(): never {
    throw new Error("No simulated handler adds items with keys inside its transaction.");
  }

  async appendKeyedWithin(): Promise<never> {
    return this.appendKeyedInside();
  }

  exchange(request: Exchange): Promise<Exchanged> {
    return this.serially(async () => {
      const settlements = request.settlements.map((settlement) => {
        return { ...settlement, token: this.#grant(settlement).token };
      });
      const exchanged = await this.inner.exchange({ ...request, settlements });
      const grants = request.settlements.map((settlement) => this.#grant(settlement));
      const wrote = exchanged.settled.some(
        (answer, n) => answer === "settled" && grants[n]?.settled === false,
      );
      this.ledger.time.read(this.life, exchanged.now, wrote || exchanged.claimed.length > 0);
      const claimed = noteExchanged(this.ledger, this.life, request, exchanged, grants);
      return { ...exchanged, claimed };
    });
  }

  progress(lease: Lease, percent: number, note: string): Promise<boolean> {
    return this.serially(async () => {
      const grant = this.#grant(lease);
      const kept = await this.inner.progress(realLease(grant), percent, note);
      if (kept !== this.ledger.isCurrent(grant)) {
        const detail = `progress of batch ${lease.batch} under grant ${grant.number}: ${kept}`;
        this.ledger.fail("I-8 authority", detail);
      }
      return kept;
    });
  }

  prepare(
    lease: Lease,
    parts: readonly PreparedPart[] | null,
    results?: readonly ItemResult[],
  ): Promise<readonly Member[] | null> {
    return this.serially(async () => {
      const grant = this.#grant(lease);
      const members = await this.inner.prepare(realLease(grant), parts, results);
      notePrepared(this.ledger, grant, members);
      return members;
    });
  }

  transact<R>(request: Transact<R>): Promise<R> {
    return this.serially(async () => {
      const grant = this.#grant(request.lease);
      const current = this.ledger.isCurrent(grant);
      let outcome: Outcome | undefined;
      this.#staged = [];
      try {
        const result = await this.inner.transact<R>({
          lease: realLease(grant),
          run: (tx) => this.#inside(grant, current, () => request.run(tx)),
          outcome: () => (outcome = request.outcome()),
        });
        this.#note(`tx batch ${grant.batch.id} grant ${grant.number}: ${outcome?.kind}`);
        noteSettled(this.ledger, grant, outcome as Outcome, this.#when(), true);
        for (const { chunks, appended } of this.#staged) this.#noteAppended(chunks, appended);
        return result;
      } catch (error) {
        if (current && hasCode(error, "LEASE_LOST")) {
          const detail = `the owner of batch ${grant.batch.id} was refused its transaction`;
          this.ledger.fail("I-8 authority", detail);
        }
        throw error;
      }
    });
  }

  enroll(leaseMs: number): Promise<number> {
    return this.serially(async () => {
      const id = await this.inner.enroll(leaseMs);
      noteEnrolled(this.ledger, id, this.life.number, leaseMs, this.#when());
      this.#note(`enrolled as ${id}`);
      return id;
    });
  }

  heartbeat(incarnation: number, leaseMs: number): Promise<boolean> {
    return this.serially(async () => {
      const renewed = await this.inner.heartbeat(incarnation, leaseMs);
      noteHeartbeat(this.ledger, incarnation, renewed, leaseMs, this.#when());
      if (!renewed) this.#note(`beat of ${incarnation}: over`);
      return renewed;
    });
  }

  reap(maxCrashes: number): Promise<Reaped> {
    return this.serially(async () => {
      const reaped = await this.inner.reap(maxCrashes);
      if (reaped.incarnations.length > 0 || reaped.released > 0 || reaped.dead > 0) {
        const dead = reaped.dead > 0 ? await allDead(this.inner, this.ledger) : [];
        noteReaped(this.ledger, reaped, dead, this.ledger.time.atMost);
        this.#note(`buried ${reaped.incarnations.join(" ")}: ${reaped.released} released`);
      }
      return reaped;
    });
  }

  absolve(incarnation: number): Promise<void> {
    return this.serially(async () => {
      await this.inner.absolve(incarnation);
      noteAbsolved(this.ledger, incarnation);
      this.#note(`absolved ${incarnation}`);
    });
  }

  reconcile(incarnation: number, known: readonly Lease[]): Promise<Lease[]> {
    return this.serially(async () => {
      const grants = known.map((lease) => this.#grant(lease));
      const gone = await this.inner.reconcile(incarnation, grants.map(realLease));
      const lost = new Set(
        grants.filter((grant) =>
          gone.some(({ batch, token }) => batch === grant.batch.id && token === grant.token),
        ),
      );
      const wrong = grants.find((grant) => lost.has(grant) === this.#isHeld(grant, incarnation));
      if (wrong !== undefined) {
        const detail = `reconcile is wrong about batch ${wrong.batch.id}, grant ${wrong.number}`;
        this.ledger.fail("I-8 authority", detail);
      }
      for (const batch of this.ledger.heldBy(incarnation)) {
        if (batch.grant === null || grants.includes(batch.grant)) continue;
        this.#note(`released stranger ${batch.id}`);
        noteReleased(this.ledger, batch);
      }
      return known.filter((_, n) => lost.has(grants[n] as Grant));
    });
  }

  release(leases: readonly Lease[]): Promise<void> {
    return this.serially(async () => {
      const grants = leases.map((lease) => this.#grant(lease));
      await this.inner.release(grants.map(realLease));
      for (const grant of grants) {
        if (this.ledger.isCurrent(grant)) noteReleased(this.ledger, grant.batch);
      }
      this.#note(`released ${leases.map(({ batch }) => batch).join(" ")}`);
    });
  }

  retire(incarnation: number): Promise<void> {
    return this.serially(async () => {
      await this.inner.retire(incarnation);
      const record = this.ledger.incarnations.get(incarnation);
      if (record !== undefined) record.alive = false;
      for (const batch of this.ledger.heldBy(incarnation)) noteReleased(this.ledger, batch);
      this.#note(`retired ${incarnation}`);
    });
  }

  makeDue(queue: number, group: string | null): Promise<number> {
    return this.serially(async () => {
      const mark = await this.inner.makeDue(queue, group);
      noteMadeDue(this.ledger, queue, group);
      this.#note(`make due ${queue} ${group ?? "*"}`);
      return mark;
    });
  }

  redrive(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return this.serially(async () => {
      const count = await this.inner.redrive(queue, ids);
      noteRedriven(this.ledger, queue, count);
      this.#note(`redrive ${queue}: ${count}`);
      return count;
    });
  }

  discard(queue: number, ids: readonly number[] | "all"): Promise<number> {
    return this.serially(async () => {
      const count = await this.inner.discard(queue, ids);
      noteDiscarded(this.ledger, queue, count);
      this.#note(`discard ${queue}: ${count}`);
      return count;
    });
  }

  #inside<R>(grant: Grant, current: boolean, run: () => R): R {
    this.#staged = [];
    if (!current) {
      const detail = `effects of batch ${grant.batch.id} under superseded grant ${grant.number}`;
      this.ledger.fail("I-8 authority", detail);
    }
    const result = run();
    if (this.life.clock.dead) throw DIED;
    return result;
  }

  #isHeld(grant: Grant, incarnation: number): boolean {
    return this.ledger.isCurrent(grant) && grant.incarnation === incarnation;
  }

  #noteAppended(chunks: readonly NewChunk[], appended: readonly AppendedChunk[]): void {
    for (let n = 0; n < appended.length; n++) {
      const { dueAt } = appended[n] as AppendedChunk;
      this.ledger.time.read(this.life, dueAt - (chunks[n] as NewChunk).dueInMs, true);
    }
    noteAppended(this.ledger, this.life.number, chunks, appended);
    const ids = appended.map(({ id }) => id).join(" ");
    this.#note(`appended ${ids}: ${chunks.reduce((sum, { count }) => sum + count, 0)} items`);
  }

  /** The grant that the engine's lease stands for. Its token is the grant's number. */
  #grant({ token }: Lease): Grant {
    return this.ledger.grants.get(token) as Grant;
  }

  #when(): When {
    const { time } = this.ledger;
    return { from: time.atLeast(this.life.clock), by: time.atMost };
  }

  #note(what: string): void {
    this.ledger.note(this.life.name, what);
  }
}

function realLease(grant: Grant): Lease {
  return { batch: grant.batch.id as number, token: grant.token };
}

async function allDead(storage: Storage, { queues }: Ledger): Promise<DeadRow[]> {
  const all = { group: null, after: 0, limit: Number.MAX_SAFE_INTEGER };
  const found = [...queues.keys()].map((queue) => storage.deadLetters({ queue, ...all }));
  return (await Promise.all(found)).flat();
}
