/** How a worker that found nothing stays warm for a while before it goes idle. */
import type { Clock } from "../core/clock.ts";
import type { LoopSignals } from "./loop-runner.ts";
import type { Signal } from "./wake.ts";
import type { WorkerIdle } from "./worker-options.ts";

const COOLDOWN_DEFAULT_MS = 250;
const POLL_DEFAULT_MS = 50;

export class Cooldown {
  readonly #clock: Clock;
  readonly #news: Signal;
  /** Ends the wait that is under way. */
  #early: () => void = () => undefined;
  #listening = false;
  /** When it is over, in monotonic time; `null` before the first look that found nothing. */
  #until: number | null = null;

  /** `news`: notified when there may be work. */
  constructor(clock: Clock, news: Signal) {
    this.#clock = clock;
    this.#news = news;
  }

  /** True when the next look is the one before going idle. */
  get over(): boolean {
    return this.#until !== null && this.#clock.monotonicMs() >= this.#until;
  }

  /** Something was found. */
  end(): void {
    this.#until = null;
  }

  /** Waits for the next look. */
  async wait(idle: Omit<WorkerIdle, "kind">, { signal, stopping }: LoopSignals): Promise<void> {
    const { cooldownMs = COOLDOWN_DEFAULT_MS, pollIntervalMs = POLL_DEFAULT_MS } = idle;
    const now = this.#clock.monotonicMs();
    this.#until ??= now + cooldownMs;
    const ms = Math.max(0, Math.min(pollIntervalMs, this.#until - now));
    if (ms === 0 || signal.aborted || stopping.aborted) return;
    this.#listen();
    const over = new AbortController();
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(ms, resolve);
      this.#early = () => {
        timer.cancel();
        resolve();
      };
      for (const told of [signal, stopping]) {
        told.addEventListener("abort", this.#early, { once: true, signal: over.signal });
      }
    });
    over.abort();
  }

  async #hear(): Promise<void> {
    await this.#news.wait();
    this.#listening = false;
    this.#early();
  }

  /** News that nobody waits for are heard by the next look anyway. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    void this.#hear();
  }
}
