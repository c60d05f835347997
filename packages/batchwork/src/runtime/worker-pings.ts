/** Pings of one process: those that come while one is under way share the next. */
import type { LoopPing, PingAnswer } from "../storage/loops.ts";

export class Pings {
  readonly #send: (pings: readonly LoopPing[]) => Promise<PingAnswer[]>;
  #underWay: Promise<unknown> = Promise.resolve();
  #next: Promise<PingAnswer[]> | undefined;
  readonly #waiting = new Map<number, LoopPing>();

  constructor(send: (pings: readonly LoopPing[]) => Promise<PingAnswer[]>) {
    this.#send = send;
  }

  /** Resolves once a ping that began after the call has been carried out. */
  async ping(pings: readonly LoopPing[]): Promise<readonly PingAnswer[]> {
    for (const ping of pings) this.#waiting.set(ping.loop, ping);
    // Not the one under way: it may have looked before the caller committed.
    this.#next ??= this.#after(this.#underWay);
    return this.#next;
  }

  async #after(underWay: Promise<unknown>): Promise<PingAnswer[]> {
    await underWay;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#next = undefined;
    const sent = this.#send(all);
    // Who waits for it is told of its failure.
    this.#underWay = sent.catch(() => undefined);
    return sent;
  }
}
