/**
 * One storage with its workers, for the differential test: carries commands out and says what can
 * be seen of it in words that do not depend on ids.
 */
import { isDeepStrictEqual } from "node:util";

import { joinItems, splitItems } from "../../src/core/codec.ts";
import type { Lease } from "../../src/core/lease.ts";
import { isRun } from "../../src/core/members.ts";
import type {
  ClaimedBatch,
  DeadRow,
  Exchanged,
  NewChunk,
  Payload,
  QueueClaim,
  Settlement,
  Storage,
} from "../../src/storage/storage.ts";
import type { ManualClock } from "../../src/testing/manual-clock.ts";
import { LEASE_MS, outcomeOf, Tally, type Command, type End, type Setting } from "./commands.ts";

interface Worker {
  incarnation: number;
  /** The incarnation before, which may have been declared dead. */
  former: number;
  held: ClaimedBatch[];
}

export class System {
  readonly tally = new Tally();
  readonly #storage: Storage;
  readonly #setting: Setting;
  readonly #workers: Worker[] = [];
  /** What each batch that was claimed holds. */
  readonly #contents = new Map<number, string>();
  #queue = 0;
  #nextItem = 0;
  #mark = 0;

  private constructor(storage: Storage, setting: Setting) {
    this.#storage = storage;
    this.#setting = setting;
  }

  static async open(storage: Storage, setting: Setting, clock: ManualClock): Promise<System> {
    await storage.open({ clock });
    const system = new System(storage, setting);
    const [info] = await storage.define([{ name: "orders", notify: true }]);
    system.#queue = info?.id ?? 0;
    for (let n = 0; n < 2; n++) {
      const incarnation = await storage.enroll(LEASE_MS);
      system.#workers.push({ incarnation, former: incarnation, held: [] });
    }
    return system;
  }

  /** Carries the command out and returns what was answered. */
  async run(command: Command): Promise<unknown> {
    const storage = this.#storage;
    switch (command.do) {
      case "append": {
        const chunks = command.chunks.map(([group, count]) =>
          this.#chunk(group, count, command.dueInMs),
        );
        return (await storage.append(chunks)).map(({ dueAt }) => dueAt);
      }
      case "exchange":
        return this.#exchange(command);
      case "release":
        await storage.release(this.#drop(this.#worker(command.worker), command.mask));
        return null;
      case "reconcile":
        return this.#reconcile(this.#worker(command.worker), command.mask);
      case "heartbeat":
        return this.#heartbeat(this.#worker(command.worker));
      case "retire":
        await this.#reenroll(this.#worker(command.worker), true);
        return null;
      case "absolve":
        await storage.absolve(this.#worker(command.worker).former);
        return null;
      case "reap": {
        const { incarnations, released, dead } = await storage.reap(this.#setting.maxCrashes);
        return { incarnations: incarnations.length, released, dead };
      }
      case "flush":
        this.#mark = await storage.makeDue(this.#queue, this.#group(command.group));
        return null;
      case "pause":
        await storage.setPaused([this.#queue], command.paused);
        return null;
      case "redrive":
        return storage.redrive(this.#queue, await this.#letterIds(command.mask));
      case "discard":
        return storage.discard(this.#queue, await this.#letterIds(command.mask));
      case "tell":
        return this.#tell(command.acknowledge);
      case "transact":
        return this.#transact(this.#worker(command.worker), command.pick, command.fail);
      default:
        throw new TypeError("There is no such command.");
    }
  }

  /** Everything that can be asked without changing anything. */
  async look(): Promise<unknown> {
    const queue = this.#queue;
    const counts = [];
    for (const group of [null, ...this.#setting.groups]) {
      const { dueAt, ...found } = await this.#storage.counts(queue, group);
      // Where a younger item is due before the oldest, a storage may name the time of either.
      counts.push({ ...found, due: dueAt !== null });
    }
    const outstanding = [];
    for (const until of ["attempted", "finished"] as const) {
      const query = { queue, group: null, mark: this.#mark, until };
      outstanding.push(await this.#storage.outstanding(query));
    }
    const running = (await this.#storage.running(queue)).map((batch) => ({
      content: this.#contents.get(batch.batch),
      count: batch.count,
      attempt: batch.attempt,
      owner: this.#workers.findIndex(({ incarnation }) => incarnation === batch.incarnation),
      claimedAt: batch.claimedAt,
    }));
    const dead = (await this.#letters()).map((row) => this.#seenLetter(row));
    this.tally.dead = Math.max(this.tally.dead, dead.length);
    return { counts, outstanding, running: inOrder(running), dead };
  }

  #worker(n: number): Worker {
    return this.#workers[n % this.#workers.length] as Worker;
  }

  #group(n: number): string | null {
    return this.#setting.groups[n] ?? null;
  }

  #chunk(n: number, count: number, dueInMs: number): NewChunk {
    const { groups } = this.#setting;
    const texts = Array.from({ length: count }, () => String(1000 + this.#nextItem++));
    const payload = this.#storage.payload === "text" ? joinItems(texts) : texts.map(Number);
    const group = groups[n % groups.length] as string;
    return { queue: this.#queue, group, count, bytes: 4 * count, payload, dueInMs };
  }

  async #exchange(command: Command & { readonly do: "exchange" }): Promise<unknown> {
    const { groups, maxSize, maxBytes, groupConcurrency } = this.#setting;
    const worker = this.#worker(command.worker);
    const { settlements, ended } = this.#settlements(worker, command.ends);
    const kept = worker.held.filter((batch) => !ended.includes(batch));
    const claim: QueueClaim = {
      queue: this.#queue,
      maxSize,
      maxBytes,
      groupConcurrency,
      limit: command.limit,
    };
    // Nothing is promised about who goes first of two groups that became due together.
    const single = groups.length === 1;
    const exchanged = await this.#storage.exchange({
      incarnation: worker.incarnation,
      settlements,
      claims: [single ? claim : { ...claim, limit: 100 }],
      alone: single && command.alone && kept.length === 0,
    });
    worker.held = [...kept, ...exchanged.claimed];
    for (const batch of exchanged.claimed) this.#contents.set(batch.batch, contentOf(batch));
    return this.#seenExchange(exchanged);
  }

  #settlements(
    worker: Worker,
    ends: readonly End[],
  ): { settlements: Settlement[]; ended: ClaimedBatch[] } {
    const settlements: Settlement[] = [];
    const ended: ClaimedBatch[] = [];
    for (const end of ends) {
      const held = byContent(worker.held.filter((batch) => !ended.includes(batch)));
      const batch = held[end.pick % held.length];
      if (batch === undefined) break;
      const stale = end.how === "stale";
      const token = stale ? batch.token + 1 : batch.token;
      settlements.push({ batch: batch.batch, token, outcome: outcomeOf(batch, end) });
      if (!stale) ended.push(batch);
    }
    return { settlements, ended };
  }

  #seenExchange({ settled, claimed, more, suspectWaiting, now }: Exchanged): unknown {
    const batches = claimed.map((batch) => ({
      content: contentOf(batch),
      attempt: batch.attempt,
      bytes: batch.bytes,
      members: batch.members.map(({ items, whole }) => [isRun(items) ? items : [...items], whole]),
      reason: batch.reason,
      parent: batch.parentId === null ? null : this.#contents.get(batch.parentId),
      root: this.#contents.get(batch.rootId),
      alone: batch.alone,
    }));
    const alone = claimed.some((batch) => batch.alone);
    this.tally.claimed += claimed.length;
    this.tally.retried += claimed.filter(({ attempt }) => attempt > 1).length;
    this.tally.alone += alone ? 1 : 0;
    this.tally.lost += settled.filter((answer) => answer === "lost").length;
    return { settled, claimed: inOrder(batches), more: more && !alone, suspectWaiting, now };
  }

  /** Takes the batches that the mask names out of the worker's hands. */
  #drop(worker: Worker, mask: number): Lease[] {
    const dropped = byContent(worker.held).filter((_batch, n) => ((mask >> n) & 1) === 1);
    worker.held = worker.held.filter((batch) => !dropped.includes(batch));
    return dropped;
  }

  async #reconcile(worker: Worker, mask: number): Promise<unknown> {
    this.#drop(worker, mask);
    const lost = await this.#storage.reconcile(worker.incarnation, worker.held);
    worker.held = worker.held.filter(
      ({ batch, token }) =>
        !lost.some((lease) => isDeepStrictEqual(leaseOf(lease), { batch, token })),
    );
    return inOrder(lost.map(({ batch }) => this.#contents.get(batch)));
  }

  async #heartbeat(worker: Worker): Promise<boolean> {
    const alive = await this.#storage.heartbeat(worker.incarnation, LEASE_MS);
    if (!alive) await this.#reenroll(worker, false);
    return alive;
  }

  async #reenroll(worker: Worker, retire: boolean): Promise<void> {
    if (retire) await this.#storage.retire(worker.incarnation);
    worker.former = worker.incarnation;
    worker.incarnation = await this.#storage.enroll(LEASE_MS);
    if (retire) worker.held = [];
  }

  async #transact(worker: Worker, pick: number, fail: boolean): Promise<unknown> {
    const held = byContent(worker.held);
    const batch = held[pick % held.length];
    if (batch === undefined) return "nothing held";
    const chunk = this.#chunk(pick, 2, 0);
    try {
      await this.#storage.transact({
        lease: { batch: batch.batch, token: batch.token },
        run: (tx: unknown) => {
          this.#storage.appendInside(tx, [chunk]);
          if (fail) throw new RangeError("no");
        },
        outcome: () => ({ kind: "done" }),
      });
      worker.held = worker.held.filter((other) => other !== batch);
      return "committed";
    } catch (error) {
      return error instanceof Error && "code" in error ? error.code : String(error);
    }
  }

  async #letters(): Promise<DeadRow[]> {
    const query = { queue: this.#queue, group: null, after: 0, limit: 1000 };
    return byItem(await this.#storage.deadLetters(query));
  }

  async #letterIds(mask: number): Promise<readonly number[] | "all"> {
    if (mask === 0) return "all";
    return (await this.#letters()).filter((_row, n) => ((mask >> n) & 1) === 1).map(({ id }) => id);
  }

  async #tell(acknowledge: number): Promise<unknown> {
    const rows = byItem(await this.#storage.takeUnnotified([this.#queue], 1000, 5000));
    await this.#storage.acknowledgeDead(rows.slice(0, acknowledge).map(({ id }) => id));
    return rows.map((row) => this.#seenLetter(row));
  }

  #seenLetter(row: DeadRow): unknown {
    return {
      item: decode(row.payload),
      group: row.group,
      error: row.error.code ?? row.error.message,
      attempts: row.attempts,
      crashes: row.crashes,
      batch: this.#contents.get(row.batch),
      root: this.#contents.get(row.rootId),
      diedAt: row.diedAt,
    };
  }
}

function decode(payload: Payload): unknown[] {
  if (typeof payload !== "string") return [...payload];
  return splitItems(payload).map((text): unknown => JSON.parse(text));
}

/** Items are never the same, so this tells which batch it is. */
function contentOf({ group, payloads }: ClaimedBatch): string {
  return `${group}: ${payloads.flatMap(decode).join(" ")}`;
}

function leaseOf({ batch, token }: Lease): Lease {
  return { batch, token };
}

function byContent(batches: readonly ClaimedBatch[]): ClaimedBatch[] {
  return batches.toSorted((a, b) => contentOf(a).localeCompare(contentOf(b)));
}

function byItem(rows: readonly DeadRow[]): DeadRow[] {
  return rows.toSorted((a, b) => Number(decode(a.payload)[0]) - Number(decode(b.payload)[0]));
}

function inOrder<T>(values: readonly T[]): T[] {
  return values.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
}
