/** Processes whose wall clocks jump by seconds, hours and days, each by itself or all at once. */
import { Batchwork, type Batch, type Clock } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { drain, ManualClock, seededRandom } from "batchwork/testing";

import { LATE_MS, Ledger, type LedgerVerdict, type Order } from "./ledger.ts";
import { SILENT } from "./silent.ts";

export interface ClockOptions {
  readonly rounds: number;
  readonly seed: number;
  /** True to have the handlers do it wrong, to see that it is noticed. Default false. */
  readonly canary?: boolean;
}

export interface ClockVerdict extends LedgerVerdict {
  readonly jumps: number;
  readonly restarts: number;
}

const PROCESSES = 3;
const HOUR_MS = 3_600_000;
const JUMPS_MS = [-72 * HOUR_MS, HOUR_MS, -2 * HOUR_MS, 2 * HOUR_MS, -1000, 1000, 30_000];
const ITEMS_MAX = 60;
/** A handler takes up to so long, ms; now and then as long as a lease and more. */
const WORK_MS_MAX = 300;
const LONG_WORK_MS = 20_000;
const ROUND_MS_MAX = 3000;

/** The clock of one machine: time passes everywhere, but everyone's wall clock is their own. */
class WallClock implements Clock {
  readonly random: () => number;
  offsetMs = 0;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
    this.random = clock.random;
  }

  wallMs(): number {
    return this.#clock.wallMs() + this.offsetMs;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(ms: number, fn: () => void): ReturnType<Clock["after"]> {
    return this.#clock.after(ms, fn);
  }

  soon(fn: () => void): void {
    this.#clock.soon(fn);
  }
}

interface Machine {
  readonly clock: WallClock;
  bw: Batchwork;
  batch: Batch<Order>;
}

export async function clockCampaign(options: ClockOptions): Promise<ClockVerdict> {
  const { rounds, seed, canary = false } = options;
  const clock = new ManualClock({ seed });
  const ledger = new Ledger(clock, { canary, lateMs: LATE_MS });
  const campaign = new Campaign(ledger, seededRandom(seed));
  try {
    await campaign.start();
    for (let round = 0; round < rounds; round++) await campaign.round();
    return await campaign.finish(rounds);
  } finally {
    await campaign.end();
    ledger.end();
  }
}

class Campaign {
  readonly #ledger: Ledger;
  readonly #random: () => number;
  readonly #machines: Machine[] = [];
  #jumps = 0;
  #restarts = 0;

  constructor(ledger: Ledger, random: () => number) {
    this.#ledger = ledger;
    this.#random = random;
  }

  async start(): Promise<void> {
    for (let n = 0; n < PROCESSES; n++) {
      const clock = new WallClock(this.#ledger.clock);
      this.#machines.push({ clock, ...(await this.#process(clock)) });
    }
  }

  async round(): Promise<void> {
    const machine = this.#any();
    await this.#ledger.add(machine.batch, 1 + this.#below(ITEMS_MAX), "");
    const jumpMs = JUMPS_MS[this.#below(JUMPS_MS.length)] as number;
    // A machine's own correction, or one that everybody gets.
    const who = this.#random() < 0.5 ? this.#machines : [this.#any()];
    for (const { clock } of who) clock.offsetMs += jumpMs;
    this.#jumps++;
    if (this.#random() < 0.15) await this.#restart(this.#any());
    await this.#ledger.clock.advance(this.#random() * ROUND_MS_MAX);
    this.#ledger.readTime();
  }

  async finish(rounds: number): Promise<ClockVerdict> {
    const { batch } = this.#any();
    await drain(this.#ledger.clock, batch);
    const verdict = await this.#ledger.verdict(rounds, batch);
    return { ...verdict, jumps: this.#jumps, restarts: this.#restarts };
  }

  async end(): Promise<void> {
    for (const { bw } of this.#machines) await this.#ledger.stop(bw);
  }

  async #process(clock: WallClock): Promise<Pick<Machine, "bw" | "batch">> {
    const storage = sqlite({ path: this.#ledger.path });
    const bw = new Batchwork({ storage, clock, logger: SILENT });
    const batch = bw.batch(this.#ledger.definition(async () => this.#work()));
    await this.#ledger.clock.run(bw.start());
    return { bw, batch };
  }

  /** It begins anew with whatever its wall clock says by now. */
  async #restart(machine: Machine): Promise<void> {
    this.#restarts++;
    await this.#ledger.stop(machine.bw);
    Object.assign(machine, await this.#process(machine.clock));
  }

  #work(): Promise<void> {
    const ms = this.#random() < 0.1 ? LONG_WORK_MS : this.#random() * WORK_MS_MAX;
    return new Promise((resolve) => {
      this.#ledger.clock.after(ms, resolve);
    });
  }

  #any(): Machine {
    return this.#machines[this.#below(this.#machines.length)] as Machine;
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }
}
