/** Telling other processes that there is something to do, at most so often. */
import type { Clock, Timer } from "../../core/clock.ts";
import { TYPES } from "./client.ts";
import type { Database } from "./database.ts";
import type { Listener } from "./listener.ts";

/** Least time between two announcements, ms. */
const APART_MS = 50;

/**
 * In a transaction of its own, after the one that it tells of: a commit that notifies waits for
 * every other that does, and need not be durable itself.
 */
const NOTIFY = `SELECT set_config('synchronous_commit', 'off', true),
  pg_notify($1, $2)`;

/** What a message says: who sends it, and in how many ms there is something to do. */
export interface Announcement {
  readonly sender: string;
  readonly ms: number;
}

/** Reads a message. Nobody else writes to the channel, but anybody could. */
export function parseAnnouncement(text: string): Announcement | undefined {
  const [sender, ms] = text.split(" ");
  if (sender === undefined || ms === undefined || !/^\d{1,15}$/.test(ms)) return undefined;
  return { sender, ms: Number(ms) };
}

/** What an {@link Announcer} is made of. */
export interface AnnouncerParts {
  readonly database: Database;
  readonly listener: Listener;
  readonly clock: Clock;
  readonly channel: string;
  readonly sender: string;
}

/** Announcements of one storage; several in a row become one. */
export class Announcer {
  readonly #database: Database;
  readonly #listener: Listener;
  readonly #clock: Clock;
  readonly #channel: string;
  readonly #sender: string;
  /** When there is something to do that nobody was told of yet, in monotonic time. */
  #at = Number.POSITIVE_INFINITY;
  #sentAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;

  constructor(parts: AnnouncerParts) {
    const { database, listener, clock, channel, sender } = parts;
    this.#database = database;
    this.#listener = listener;
    this.#clock = clock;
    this.#channel = channel;
    this.#sender = sender;
  }

  announce(ms: number): void {
    this.#at = Math.min(this.#at, this.#clock.monotonicMs() + ms);
    this.#schedule();
  }

  /** Sends what is left to tell. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#sending;
    this.#timer?.cancel();
    if (this.#at < Number.POSITIVE_INFINITY) await this.#send();
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#sending !== undefined) return;
    const rest = this.#sentAt + APART_MS - this.#clock.monotonicMs();
    if (rest <= 0) {
      this.#start();
      return;
    }
    this.#timer = this.#clock.after(rest, () => {
      this.#timer = undefined;
      this.#start();
    });
  }

  #start(): void {
    this.#sending = this.#send().finally(() => {
      this.#sending = undefined;
      if (this.#at < Number.POSITIVE_INFINITY) this.#schedule();
    });
  }

  async #send(): Promise<void> {
    const now = this.#clock.monotonicMs();
    const ms = Math.max(0, Math.ceil(this.#at - now));
    this.#at = Number.POSITIVE_INFINITY;
    this.#sentAt = now;
    const values = [this.#channel, `${this.#sender} ${ms}`];
    try {
      // Beside a claim that is under way the pool would open one more connection, and the next
      // claim might get that: it would plan every statement anew.
      if (await this.#listener.send({ text: NOTIFY, values, types: TYPES })) return;
      await this.#database.run(NOTIFY, values);
    } catch {
      // Whoever is not told looks by itself; and whoever commits hears of a server that is away.
    }
  }
}
