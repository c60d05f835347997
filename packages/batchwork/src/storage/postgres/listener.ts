/** One connection that hears what other processes announce. */
import type { Clock, Timer } from "../../core/clock.ts";
import { retryDelayMs } from "../../core/retry.ts";
import { parseAnnouncement } from "./announcements.ts";
import {
  canListen,
  sizeOf,
  type ListeningClient,
  type PostgresPool,
  type PostgresQuery,
} from "./client.ts";
import { borrow, giveBack } from "./lending.ts";
import { routeOf } from "./pooler.ts";
import { listenText } from "./statements.ts";

/** Waits before it connects again: 100 ms, doubled up to 30 s, with jitter. */
const RECONNECT = {
  max: Number.POSITIVE_INFINITY,
  strategy: "exponential",
  baseDelay: 100,
  maxDelay: 30_000,
  jitter: 0.5,
} as const;

/** A connection that only listens does not notice by itself that the other end is gone. */
const CHECK_MS = 60_000;
const CHECK_TIMEOUT_MS = 10_000;

/** What is sent through it takes as long at most, ms. */
const SEND_TIMEOUT_MS = 1000;

const CHECK = "SELECT 1";

/** What a {@link Listener} is made of. */
export interface ListenerSettings {
  readonly pool: PostgresPool;
  readonly clock: Clock;
  readonly channel: string;
  /** Announcements of this storage itself are not heard. */
  readonly sender: string;
  readonly announced: (ms: number) => void;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
}

const POLLING = "other processes are heard of at the next regular look (tickIntervalMs) only";

/** Listens from `start` to `close`, as far as it can. */
export class Listener {
  readonly #settings: ListenerSettings;
  #client: ListeningClient | undefined;
  /** True once it listens. */
  #listening = false;
  #timer: Timer | undefined;
  #failures = 0;
  #started = false;
  #closed = false;

  constructor(settings: ListenerSettings) {
    this.#settings = settings;
  }

  /** Returns at once: a pool that is busy, or a server that is away, holds nobody up. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    if (sizeOf(this.#settings.pool) > 1) this.#connect();
    else this.#giveUp("the pool has one connection only", "max");
  }

  /** Runs a statement on the connection that listens. False where there is none, or it failed. */
  async send(query: PostgresQuery): Promise<boolean> {
    const client = this.#client;
    if (client === undefined || !this.#listening) return false;
    try {
      await client.query({ ...query, query_timeout: SEND_TIMEOUT_MS });
      return true;
    } catch (error) {
      this.#lostClient(client, error);
      return false;
    }
  }

  /** Hears nothing more. A connection that is still on its way is given back when it comes. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#drop();
  }

  #connect(): void {
    this.#listen().catch((error: unknown) => this.#lost(error));
  }

  async #listen(): Promise<void> {
    const { pool, channel, announced } = this.#settings;
    const client = await borrow(pool);
    if (this.#closed || !canListen(client)) {
      giveBack(client, undefined);
      if (!this.#closed) this.#giveUp("a connection of the pool has no events", "pool");
      return;
    }
    this.#client = client;
    client.on("error", (error) => this.#lostClient(client, error));
    client.on("end", () => this.#lostClient(client, new Error("The connection ended.")));
    client.on("notification", ({ payload = "" }) => this.#heard(client, payload));
    // In transaction mode a pooler would listen on a connection that is somebody else's a moment
    // later.
    if ((await routeOf(client, CHECK_TIMEOUT_MS)) === "pooled") {
      this.#drop();
      this.#giveUp("a pooler is between this process and the server", "pool");
      return;
    }
    await client.query({ text: listenText(channel), query_timeout: CHECK_TIMEOUT_MS });
    this.#failures = 0;
    this.#listening = client === this.#client;
    this.#checkLater(client);
    // Of what was announced before nothing was heard.
    announced(0);
  }

  #heard(client: ListeningClient, payload: string): void {
    const announcement = parseAnnouncement(payload);
    if (client !== this.#client || announcement === undefined) return;
    const { sender, announced } = this.#settings;
    if (announcement.sender !== sender) announced(announcement.ms);
  }

  #checkLater(client: ListeningClient): void {
    if (client !== this.#client) return;
    this.#timer = this.#settings.clock.after(CHECK_MS, () => {
      client.query({ text: CHECK, query_timeout: CHECK_TIMEOUT_MS }).then(
        () => this.#checkLater(client),
        (error: unknown) => this.#lostClient(client, error),
      );
    });
  }

  #lostClient(client: ListeningClient, error: unknown): void {
    if (client === this.#client) this.#lost(error);
  }

  #lost(error: unknown): void {
    this.#drop();
    if (this.#closed) return;
    const { clock, warn } = this.#settings;
    this.#failures++;
    const delayMs = retryDelayMs(RECONNECT, this.#failures, clock.random());
    if (this.#failures === 1) warn("Listening failed; trying again.", { error, delayMs });
    this.#timer?.cancel();
    this.#timer = clock.after(delayMs, () => this.#connect());
  }

  /** Closed, not given back: whoever got it next would hear what it listens to. */
  #drop(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#listening = false;
    client?.release(true);
  }

  #giveUp(reason: string, field: string): void {
    const message = `postgres: notifications are off, since ${reason}: ${POLLING}.`;
    const advice = "Give `notifications: false` if that is intended.";
    this.#settings.warn(`${message} ${advice}`, { field });
  }
}
