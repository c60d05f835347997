/** Everything of one run: processes that come and go, and what they were promised. */
import type { FaultSchedule } from "../packages/batchwork/src/testing/faulty-storage.ts";
import type { Ledger } from "./ledger/ledger.ts";
import type { ItemRecord } from "./ledger/records.ts";
import type { FaultSwitch } from "./faults.ts";
import type { Fate, SimItem } from "./item.ts";
import type { Repeat } from "./keyed.ts";
import { Life } from "./life.ts";
import type { MutantRun } from "./mutants/mutant.ts";
import type { Plan, QueuePlan } from "./plan.ts";
import type { Rng } from "./rng.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Store } from "./stores.ts";

/** A place for a process: one life after another. */
export interface Slot {
  readonly name: string;
  life: Life | null;
  /** Virtual time of the next start while nobody lives here. */
  startAt: number;
}

/** What a run is made of. */
export interface Parts {
  readonly plan: Plan;
  readonly rng: Rng;
  readonly scheduler: Scheduler;
  readonly ledger: Ledger;
  readonly store: Store;
  readonly mutant: MutantRun | null;
  /** Faults of one life, instead of random ones. */
  readonly schedule: ((world: World, life: Life) => FaultSchedule) | null;
}

/** How many keys items have where duplicates are left out. */
const KEYS = 8;

export class World implements Parts {
  readonly plan: Plan;
  readonly rng: Rng;
  readonly scheduler: Scheduler;
  readonly ledger: Ledger;
  readonly store: Store;
  readonly mutant: MutantRun | null;
  readonly schedule: Parts["schedule"];
  readonly control: FaultSwitch = { on: true, injected: {} };
  readonly slots: readonly Slot[];
  /** Items by calls that promise all or nothing. */
  readonly calls: (readonly number[])[] = [];
  /** Adds with keys that will be made again. */
  repeats: readonly Repeat[] = [];
  acknowledged = 0;
  deliveries = 0;
  retries = 0;
  crashes = 0;
  toldOf = 0;
  /** Their connections may still be in use while the event goes on that they died in. */
  #gone: Life[] = [];
  #uid = 0;
  #lives = 0;

  constructor(parts: Parts) {
    this.plan = parts.plan;
    this.rng = parts.rng;
    this.scheduler = parts.scheduler;
    this.ledger = parts.ledger;
    this.store = parts.store;
    this.mutant = parts.mutant;
    this.schedule = parts.schedule;
    this.slots = Array.from({ length: parts.plan.processes }, (_, n) => {
      return { name: `p${n + 1}`, life: null, startAt: 0 };
    });
  }

  /** Lives that take calls now. */
  up(): Life[] {
    return this.slots.flatMap(({ life }) => (life?.up === true ? [life] : []));
  }

  /** Starts whoever is due to start, and clears away after those who are gone. */
  startDue(): void {
    for (const life of this.#gone) life.door.slam();
    this.#gone = [];
    for (const slot of this.slots) {
      if (slot.life === null && slot.startAt <= this.scheduler.now) this.#start(slot);
    }
  }

  #start(slot: Slot): void {
    const life = new Life(this, ++this.#lives, `${slot.name}.${this.#lives}`);
    slot.life = life;
    this.ledger.note(life.name, "begins");
    if (this.slots.indexOf(slot) >= this.plan.producers) void this.#startEngine(life);
  }

  async #startEngine(life: Life): Promise<void> {
    try {
      await life.engine.start();
      life.started = true;
    } catch (error) {
      // What a service does that cannot start: it exits, and somebody starts it again.
      if (life.state === "up") this.crash(life, `could not start: ${String(error)}`);
    }
  }

  /** The process is gone: nothing of it runs again. */
  crash(life: Life, why: string): void {
    if (life.clock.dead) return;
    this.crashes++;
    this.ledger.note(life.name, `dies: ${why}`);
    this.bury(life);
  }

  /** Ends a life, whichever way it ended; another begins in its place after a while. */
  bury(life: Life): void {
    life.clock.kill();
    this.#gone.push(life);
    const slot = this.slots.find((one) => one.life === life);
    if (slot === undefined) return;
    slot.life = null;
    slot.startAt = this.scheduler.now + this.rng.exponential(this.plan.leaseMs);
  }

  /** A new item, with a fate drawn for it. */
  newItem(queue: QueuePlan): { readonly queue: string; readonly item: SimItem } {
    const { rng } = this;
    const uid = ++this.#uid;
    const group = queue.groups.length === 0 ? "" : rng.pick(queue.groups);
    const pad = "x".repeat(rng.chance(0.1) ? rng.whole(20, 80) : rng.whole(0, 5));
    const item = { uid, group, fate: this.#fate(), pad };
    if (!queue.deduplicates) return { queue: queue.name, item };
    return { queue: queue.name, item: { ...item, key: `key ${rng.whole(1, KEYS)}` } };
  }

  #fate(): Fate {
    const { rng, plan } = this;
    if (rng.chance(plan.killers)) return { kind: rng.chance(0.5) ? "kills" : "kills-in-tx" };
    if (rng.chance(plan.poison)) {
      return { kind: rng.chance(0.5) ? "fails" : "throws", until: Number.MAX_SAFE_INTEGER };
    }
    if (rng.chance(plan.flaky)) {
      return { kind: rng.chance(0.5) ? "fails" : "throws", until: rng.whole(1, 2) };
    }
    return { kind: "fine" };
  }

  /** `add` resolved: from now on the item exists. */
  acknowledge(item: SimItem, id: string | null): void {
    this.acknowledged++;
    const record = this.ledger.byUid.get(item.uid);
    if (record === undefined) {
      const detail = `item ${item.uid} was acknowledged, but never committed`;
      this.ledger.fail("I-1 acknowledged items exist", detail);
    } else if (id !== null && record.firstId !== id) {
      const detail = `add answered ${id} for item ${item.uid}, which is ${record.firstId}`;
      this.ledger.fail("I-1 acknowledged items exist", detail);
    }
  }

  /** `onDead` was called. */
  told(life: Life, items: readonly SimItem[]): void {
    this.toldOf += items.length;
    for (const { uid } of items) {
      const record = this.ledger.byUid.get(uid);
      if (record === undefined || record.deaths === 0) {
        const detail = `${life.name} was told that item ${uid} is dead, and it never was`;
        this.ledger.fail("onDead is told", detail);
      } else record.told = true;
    }
  }

  count(fault: string): void {
    this.control.injected[fault] = (this.control.injected[fault] ?? 0) + 1;
  }

  /** That life, if it still lives. */
  readonly lifeOf = (number: number): Life | null => {
    return this.slots.find(({ life }) => life?.number === number)?.life ?? null;
  };

  /** True when no storage call fails. */
  get reliable(): boolean {
    const { lostReply, ioError, busy, outage } = this.plan.faults;
    const never = this.schedule === null && lostReply + ioError + busy + outage === 0;
    return never || !this.control.on;
  }

  /** Items that are waiting, and batches that are not done. */
  get unfinishedCount(): number {
    let count = this.ledger.live.size;
    for (const { groups } of this.ledger.queues.values()) {
      for (const { waiting } of groups.values()) count += waiting.length;
    }
    return count;
  }

  /** Items that are neither done nor dead. */
  unfinished(): ItemRecord[] {
    return [...this.ledger.byUid.values()].filter(
      ({ state }) => state === "waiting" || state === "sealed",
    );
  }
}
