/** How tasks come into the storage: checked, encoded, and stored as the items of batches are. */
import { hash } from "node:crypto";

import type { Clock } from "../core/clock.ts";
import { BatchworkError } from "../core/errors.ts";
import { laneName } from "../core/lane.ts";
import { CHUNK_ITEMS_MAX } from "../core/limits.ts";
import type { MaxPending } from "../core/pending-option.ts";
import { resolveTaskOptions, type ResolvedTaskOptions } from "../core/task-options.ts";
import type { StoredTask } from "../core/task.ts";
import { checkCallBytes, checkCallItems, checkKey } from "./add-options.ts";
import type { Entrance } from "./entrance.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { KeyedIntakeItem, KeyedQueue } from "./keyed-call.ts";
import type { EnqueueBatchOptions } from "./pool-options.ts";
import type { Runner } from "./runner.ts";
import type { TaskQueue } from "./task-queue.ts";

/** Characters kept of a SHA-256 in base64: 132 bits. */
const DIGEST_CHARACTERS = 22;

/** Tasks of one pool that may start at the same time. */
export class TaskRoute implements KeyedQueue {
  readonly pool: TaskQueue;
  readonly chunkSize = CHUNK_ITEMS_MAX;
  readonly maxBytes = Number.POSITIVE_INFINITY;

  readonly #dueInMs: () => number;

  constructor(pool: TaskQueue, dueInMs: () => number) {
    this.pool = pool;
    this.#dueInMs = dueInMs;
  }

  /** Until they may start: less and less while they wait to be stored. */
  get maxWaitMs(): number {
    return this.#dueInMs();
  }

  get id(): number {
    return this.pool.id;
  }

  get keyTtlMs(): number {
    return this.pool.options.keyTtlMs;
  }

  get maxPending(): MaxPending | undefined {
    return this.pool.queue.maxPending;
  }

  /** Keys are those of the pool, and who waits for room waits in one line, whatever the start. */
  get scope(): object {
    return this.pool;
  }
}

/** What a {@link TaskIntake} is made of. */
export interface TaskIntakeParts {
  readonly pool: TaskQueue;
  readonly runner: Runner;
  readonly entrance: Entrance<StoredTask>;
  readonly clock: Clock;
  /** Tells that a transaction of somebody else's has tasks. */
  readonly committing: (route: TaskRoute) => void;
}

/** Tasks of one call, ready to be stored. */
interface Accepted {
  readonly route: TaskRoute;
  readonly items: IntakeItem[];
  /** With keys, where there are some. */
  readonly keyed: KeyedIntakeItem[] | undefined;
}

export class TaskIntake {
  readonly #pool: TaskQueue;
  readonly #runner: Runner;
  readonly #entrance: Entrance<StoredTask>;
  readonly #clock: Clock;
  readonly #committing: (route: TaskRoute) => void;
  /** For tasks that may start at once. */
  readonly #now: TaskRoute;

  constructor({ pool, runner, entrance, clock, committing }: TaskIntakeParts) {
    this.#pool = pool;
    this.#runner = runner;
    this.#entrance = entrance;
    this.#clock = clock;
    this.#committing = committing;
    this.#now = new TaskRoute(pool, () => 0);
  }

  /** The shortest way, for one task without options. */
  async one(name: string, args: unknown): Promise<string> {
    const { validation } = this.#pool.handlers.named(name);
    if (validation !== undefined) await validation.check([args]);
    const { value, bytes } = this.#entrance.accept(taskOf(name, args));
    const { intake } = this.#runner;
    if (this.#now.maxPending === undefined) {
      return (await intake.add(this.#now, NO_LANE, value, bytes)).id;
    }
    const [result] = await intake.limited.add(this.#now, [{ group: NO_LANE, value, bytes }]);
    return (result as AddResult).id;
  }

  async many(
    name: string,
    given: readonly unknown[],
    options: EnqueueBatchOptions<never>,
  ): Promise<string[]> {
    checkCallItems(given.length);
    const { validation } = this.#pool.handlers.named(name);
    if (validation !== undefined) await validation.check(given);
    const { route, items, keyed } = this.#accept(name, given, options);
    const { intake } = this.#runner;
    let results: AddResult[];
    if ("tx" in options && options.tx !== undefined) {
      results = await (keyed === undefined
        ? intake.addWithin(route, items, options.tx)
        : intake.keyed.addWithin(route, keyed, options.tx));
      this.#committing(route);
    } else {
      results = await this.#store(route, items, keyed);
    }
    return results.map(({ id }) => id);
  }

  /** Inside the transaction of `options.tx`, before it returns. */
  manySync(name: string, given: readonly unknown[], options: EnqueueBatchOptions<never>): string[] {
    checkCallItems(given.length);
    if (this.#pool.id === 0) {
      const message = "enqueueSync needs an open storage: await bw.start() or any call first.";
      throw new BatchworkError("TX_UNSUPPORTED", message);
    }
    this.#pool.handlers.named(name).validation?.checkSync(given);
    const { route, items, keyed } = this.#accept(name, given, options);
    const { intake } = this.#runner;
    const results =
      keyed === undefined
        ? intake.addInside(route, items, options.tx)
        : intake.keyed.addInside(route, keyed, options.tx);
    this.#committing(route);
    return results.map(({ id }) => id);
  }

  async #store(
    route: TaskRoute,
    items: readonly IntakeItem[],
    keyed: readonly KeyedIntakeItem[] | undefined,
  ): Promise<AddResult[]> {
    const { intake } = this.#runner;
    if (keyed !== undefined) return intake.keyed.add(route, keyed);
    if (route.maxPending !== undefined) return intake.limited.add(route, items);
    return intake.addBulk(route, items);
  }

  #accept(
    name: string,
    given: readonly unknown[],
    { context, idempotencyKey, ...options }: EnqueueBatchOptions<never>,
  ): Accepted {
    const said = resolveTaskOptions(this.#pool.name, options);
    const lane = laneName(said);
    const route = this.#routeOf(said);
    const tasks = given.map((args) => taskOf(name, args, said, context));
    const items: IntakeItem[] = [];
    let keyed: KeyedIntakeItem[] | undefined;
    if (idempotencyKey === undefined) {
      for (let from = 0; from < tasks.length; from += CHUNK_ITEMS_MAX) {
        const piece = tasks.slice(from, from + CHUNK_ITEMS_MAX);
        for (const item of this.#entrance.accepted(piece, false)) {
          items.push({ ...item, group: lane });
        }
      }
    } else {
      keyed = tasks.map((task, n) => {
        const key = idempotencyKey(given[n] as never, n);
        return this.#keyedItem(task, key, lane);
      });
    }
    checkCallBytes((keyed ?? items).reduce((sum, { bytes }) => sum + bytes, 0));
    return { route, items, keyed };
  }

  #keyedItem(task: StoredTask, key: string | undefined, lane: string): KeyedIntakeItem {
    if (key !== undefined) checkKey(key);
    const accepted = this.#entrance.accept(task);
    if (key === undefined) return { ...accepted, group: lane, key: null, digest: "" };
    const digest = hash("sha256", this.#entrance.textOf(task, accepted), "base64url");
    return { ...accepted, group: lane, key, digest: digest.slice(0, DIGEST_CHARACTERS) };
  }

  #routeOf({ runAt, runAfter }: ResolvedTaskOptions): TaskRoute {
    const clock = this.#clock;
    const dueInMs = runAt === null ? runAfter : Math.max(0, Math.ceil(runAt - clock.wallMs()));
    if (dueInMs === 0) return this.#now;
    const dueAt = clock.monotonicMs() + dueInMs;
    return new TaskRoute(this.#pool, () => Math.max(0, Math.ceil(dueAt - clock.monotonicMs())));
  }
}

const NO_LANE = laneName({ priority: 0, serialKey: "" });

function taskOf(
  name: string,
  args: unknown,
  said?: ResolvedTaskOptions,
  context?: unknown,
): StoredTask {
  return {
    name,
    ...(args === undefined ? {} : { args }),
    ...(said?.retry === undefined ? {} : { retry: said.retry }),
    ...(said?.timeout === undefined ? {} : { timeout: said.timeout }),
    ...(context === undefined ? {} : { context }),
  };
}
