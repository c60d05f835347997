/** Looks on while processes work with the pools they share, and keeps the account of all tasks. */
import type { PoolStorage } from "../../packages/batchwork/src/storage/pools.ts";
import type { Storage } from "../../packages/batchwork/src/storage/storage.ts";
import { storedOf } from "../ledger/keyed.ts";
import type { ProcessClock } from "../scheduler.ts";
import { overlay, SerialCalls } from "../serial.ts";
import { noteClaimed } from "./claims.ts";
import {
  noteAbsolved,
  noteAllCanceled,
  noteCanceled,
  noteReaped,
  noteReconciled,
  noteReleased,
  noteRetired,
} from "./leases.ts";
import type { TaskLedger } from "./ledger.ts";
import { checkCanceled, noteSettled } from "./settlements.ts";

type Call = <R>(run: () => Promise<R>) => Promise<R>;

/** Thrown inside a transaction of a process that has just died: it rolls back. */
const DIED = new Error("The process died.");

export class PoolWatch {
  readonly #ledger: TaskLedger;
  readonly #calls = new SerialCalls();

  constructor(ledger: TaskLedger) {
    this.#ledger = ledger;
  }

  /** The storage of one life of a process, watched. */
  over(inner: Storage, clock: ProcessClock, life: number): Storage {
    const ledger = this.#ledger;
    const call: Call = async (run) => this.#calls.call(clock, run);
    const changes: Partial<Storage> = {
      pools: overlay(inner.pools, this.#watched(inner.pools, call), call),
      define: async (queues) =>
        call(async () => {
          const infos = await inner.define(queues);
          const ids = infos.map(({ id }) => id);
          ledger.named(
            queues.map(({ name }) => name),
            ids,
          );
          return infos;
        }),
      setPaused: async (queues, paused) =>
        call(async () => {
          await inner.setPaused(queues, paused);
          for (const queue of queues) ledger.pool(queue).paused = paused;
        }),
      append: async (chunks) =>
        call(async () => {
          const appended = await inner.append(chunks);
          ledger.appended(chunks, appended);
          return appended;
        }),
      appendKeyed: async (append) =>
        call(async () => {
          const answers = await inner.appendKeyed(append);
          const stored = storedOf(append, answers);
          ledger.appended(stored.chunks, stored.appended);
          return answers;
        }),
      ...this.#transactions(inner, clock, call),
      ...this.#leases(inner, call, life),
    };
    return overlay(inner, changes, call);
  }

  /** What is enqueued inside of a transaction is there once that has committed. */
  #transactions(inner: Storage, clock: ProcessClock, call: Call): Partial<Storage> {
    let inside: (() => void)[] = [];
    return {
      appendInside: (tx, chunks) => {
        const appended = inner.appendInside(tx, chunks);
        inside.push(() => this.#ledger.appended(chunks, appended));
        return appended;
      },
      transact: async (request) =>
        call(async () => {
          inside = [];
          const result = await inner.transact({
            ...request,
            outcome: () => {
              if (clock.dead) throw DIED;
              return request.outcome();
            },
          });
          for (const append of inside) append();
          return result;
        }),
    };
  }

  #leases(inner: Storage, call: Call, life: number): Partial<Storage> {
    const ledger = this.#ledger;
    return {
      enroll: async (leaseMs) =>
        call(async () => {
          const incarnation = await inner.enroll(leaseMs);
          ledger.incarnations.set(incarnation, life);
          return incarnation;
        }),
      reap: async (maxCrashes) =>
        call(async () => {
          const reaped = await inner.reap(maxCrashes);
          const dead = noteReaped(ledger, reaped.incarnations, maxCrashes);
          // Those who are told may be dead, too.
          if (reaped.dead < dead) {
            ledger.fail("crashes are counted right", `${reaped.dead} tasks died, not ${dead}`);
          }
          return reaped;
        }),
      retire: async (incarnation) =>
        call(async () => {
          await inner.retire(incarnation);
          noteRetired(ledger, incarnation);
        }),
      absolve: async (incarnation) =>
        call(async () => {
          await inner.absolve(incarnation);
          noteAbsolved(ledger, incarnation);
        }),
    };
  }

  #watched(inner: PoolStorage, call: Call): Partial<PoolStorage> {
    const ledger = this.#ledger;
    return {
      define: async (pools) =>
        call(async () => {
          await inner.define(pools);
          ledger.defined(pools);
        }),
      setParallelism: async (queue, maxParallelism) =>
        call(async () => {
          await inner.setParallelism(queue, maxParallelism);
          ledger.pool(queue).override = maxParallelism;
        }),
      exchange: async (request) =>
        call(async () => {
          const exchanged = await inner.exchange(request);
          noteSettled(ledger, request, exchanged);
          noteClaimed(ledger, request, exchanged);
          checkCanceled(ledger, request.incarnation, exchanged.canceled);
          return exchanged;
        }),
      reconcile: async (incarnation, known) =>
        call(async () => {
          const lost = await inner.reconcile(incarnation, known);
          noteReconciled(ledger, incarnation, known, lost);
          return lost;
        }),
      release: async (leases) =>
        call(async () => {
          await inner.release(leases);
          noteReleased(ledger, leases);
        }),
      cancel: async (queue, ids) =>
        call(async () => {
          const answers = await inner.cancel(queue, ids);
          noteCanceled(ledger, ledger.pool(queue), ids, answers);
          return answers;
        }),
      cancelAll: async (queue, slices) =>
        call(async () => {
          const answer = await inner.cancelAll(queue, slices);
          noteAllCanceled(ledger, ledger.pool(queue), answer);
          return answer;
        }),
    };
  }
}
