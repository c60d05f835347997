/** The stopwatch of one measurement: wall time by phase, CPU, memory, commits, bytes, loop delay. */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

/** What one measurement of one row has cost. */
export interface Measurement {
  readonly items: number;
  /** Wall time from the first add to the last settled item. */
  readonly ms: number;
  /** Wall time of the parts of it. */
  readonly phases: Readonly<Record<string, number>>;
  /** User and system time of the process. */
  readonly cpuMs: number;
  /** Of the process since its start: Node itself, the prepared items and the warm-up included. */
  readonly peakRssMb: number;
  /** Write transactions; `null` where there are none to count. */
  readonly commits: number | null;
  /** Bytes the kernel was made to write; `null` where it does not say. */
  readonly bytesWritten: number | null;
  /** How late a 1 ms timer fired, at worst in 99 of 100; `null` for a row written synchronously. */
  readonly loopDelayP99Ms: number | null;
}

export interface MeterOptions {
  readonly items: number;
  /** Reads how many write transactions there have been so far. */
  readonly commits?: () => number;
  /** The row never leaves the event loop a turn by design, so the delay would say nothing. */
  readonly synchronous?: boolean;
}

type LoopDelay = ReturnType<typeof monitorEventLoopDelay>;
const RESOLUTION_MS = 1;
/** After a collection, until memory is swept. */
const SWEPT_MS = 30;

export class Meter {
  readonly #options: MeterOptions;
  readonly #delay: LoopDelay;
  readonly #phases: Record<string, number> = {};
  readonly #commits: number | null;
  readonly #bytes: number | null;
  readonly #cpu: NodeJS.CpuUsage;
  readonly #startedAt: number;
  #phaseAt: number;

  /** Starts the watch. */
  static async start(options: MeterOptions): Promise<Meter> {
    // What making the items has left behind is not to be cleared away on the row's time; a part of
    // that goes on in threads of its own.
    globalThis.gc?.();
    await sleep(SWEPT_MS);
    const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    delay.enable();
    // Delays count from the first time the timer of the histogram fires.
    await sleep(5 * RESOLUTION_MS);
    return new Meter(options, delay);
  }

  private constructor(options: MeterOptions, delay: LoopDelay) {
    this.#options = options;
    this.#delay = delay;
    this.#commits = options.commits?.() ?? null;
    this.#bytes = bytesWritten();
    this.#cpu = process.cpuUsage();
    this.#startedAt = performance.now();
    this.#phaseAt = this.#startedAt;
  }

  /** Ends the phase that runs and starts the next. */
  phase(name: string): void {
    const now = performance.now();
    this.#phases[name] = now - this.#phaseAt;
    this.#phaseAt = now;
  }

  /** Stops the watch. */
  async stop(): Promise<Measurement> {
    const ms = performance.now() - this.#startedAt;
    const cpu = process.cpuUsage(this.#cpu);
    const commits = this.#options.commits?.() ?? null;
    const bytes = bytesWritten();
    // The timer of the histogram has to fire once more to see a loop that was blocked to the end.
    await sleep(5 * RESOLUTION_MS);
    this.#delay.disable();
    const delay = Math.max(0, this.#delay.percentile(99) / 1e6 - RESOLUTION_MS);
    return {
      items: this.#options.items,
      ms,
      phases: this.#phases,
      cpuMs: (cpu.user + cpu.system) / 1000,
      peakRssMb: process.resourceUsage().maxRSS / 1024,
      commits: commits === null || this.#commits === null ? null : commits - this.#commits,
      bytesWritten: bytes === null || this.#bytes === null ? null : bytes - this.#bytes,
      loopDelayP99Ms: this.#options.synchronous === true ? null : delay,
    };
  }
}

/** Bytes this process has caused to be written to disk, where the kernel tells (Linux). */
function bytesWritten(): number | null {
  try {
    const line = /^write_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"));
    return line === null ? null : Number(line[1]);
  } catch {
    return null;
  }
}
