/** The budgets of this process: how much it may append to queues that have a limit. */
import type { Clock } from "../../core/clock.ts";
import {
  fitsInto,
  minus,
  NOTHING,
  plus,
  QueueFullError,
  type Amount,
  type PendingLimit,
} from "../../core/pending.ts";
import type { Database } from "./database.ts";
import { byBudgets } from "./statements.ts";

/** How long a budget counts that nobody renews, ms: as long as a lease does by default. */
const BUDGET_MS = 15_000;

/** From then on it is renewed before it is used: a reply may take its time. */
const TRUSTED_MS = 10_000;

/** A process that asks is given one part in so many of what is left, beside what it needs. */
const SHARE = 8;

/** Stands for no limit; a whole number that sums of are exact. */
const UNLIMITED = 2 ** 50;

const TAKE_ROOM = `SELECT * FROM @.take_room($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`;

/** What an append needs of one queue. */
export interface Need {
  readonly queue: number;
  readonly limit: PendingLimit;
  readonly amount: Amount;
}

/** What an append is carried out by. */
export interface Grant {
  readonly budget: number;
  readonly expiresAt: number;
}

interface Budget extends Grant {
  /** Monotonic ms. */
  readonly trustedUntil: number;
  left: Amount;
  /** Of appends whose end is not known. */
  underWay: Amount;
  used: boolean;
}

/** What was taken from a budget, until the append has ended. */
export interface Taken {
  readonly grant: Grant;
  /** So much of it was stored. */
  readonly stored: (amount: Amount) => void;
  /** Nothing was stored, or that is not known: then the budget is left to run out. */
  readonly failed: (known: boolean) => void;
}

/** A statement. */
interface Call {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** The call as one that only succeeds while the budgets count. */
export function within(
  { sql, values }: Call,
  grants: readonly Grant[],
  at: number | null,
): { readonly sql: string; readonly values: readonly unknown[] } {
  if (grants.length === 0) return { sql, values };
  const more = [grants.map(({ budget }) => budget), grants.map(({ expiresAt }) => expiresAt), at];
  return { sql: byBudgets(sql, values.length + 1), values: [...values, ...more] };
}

export class Budgets {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #budgets = new Map<number, Budget>();
  /** Who asks about a queue, one after the other. */
  readonly #lines = new Map<number, Promise<unknown>>();
  /** Budgets of appends in transactions of others, which nobody tells us the end of. */
  #lent: { readonly queue: number; readonly budget: number; readonly until: number }[] = [];

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** Takes what an append needs. Rejects with `QUEUE_FULL`. */
  async take(need: Need): Promise<Taken> {
    const { queue, amount } = need;
    const line = this.#lines.get(queue);
    const known = this.#budgets.get(queue);
    if (line === undefined && known !== undefined && this.#covers(known, amount)) {
      return this.#takeFrom(queue, known, amount);
    }
    return this.#inLine(queue, async () => {
      const held = this.#budgets.get(queue);
      const budget =
        held !== undefined && this.#covers(held, amount) ? held : await this.#renewed(need, held);
      return this.#takeFrom(queue, budget, amount);
    });
  }

  /** A budget for one append in a transaction of somebody else's. Rejects with `QUEUE_FULL`. */
  async lend(need: Need): Promise<Grant> {
    const { queue } = need;
    return this.#inLine(queue, async () => {
      const held = this.#budgets.get(queue);
      if (held !== undefined) held.left = NOTHING;
      const asked = await this.#ask(need, held, null);
      const until = this.#clock.monotonicMs() + BUDGET_MS;
      this.#lent = this.#lent.filter((lent) => lent.until > this.#clock.monotonicMs());
      this.#lent.push({ queue, budget: asked.budget, until });
      return asked;
    });
  }

  /**
   * Gives back what was not used since the last call, or all, for others to have. Never fails:
   * what is not given back runs out.
   */
  async giveBack(all = false): Promise<void> {
    const idle: number[] = [];
    for (const [queue, budget] of this.#budgets) {
      const rests = all || (!budget.used && !this.#lines.has(queue));
      budget.used = false;
      if (!rests || budget.underWay.items > 0) continue;
      this.#budgets.delete(queue);
      idle.push(budget.budget);
    }
    if (idle.length === 0) return;
    await this.#database.run("SELECT @.drop_budgets($1)", [idle]).catch(() => undefined);
  }

  #covers({ left, trustedUntil }: Budget, amount: Amount): boolean {
    return fitsInto(left, amount) && this.#clock.monotonicMs() < trustedUntil;
  }

  async #inLine<T>(queue: number, work: () => Promise<T>): Promise<T> {
    const before = this.#lines.get(queue) ?? Promise.resolve();
    const turn = before.then(work, work);
    const settled = turn.catch(() => undefined);
    this.#lines.set(queue, settled);
    try {
      return await turn;
    } finally {
      if (this.#lines.get(queue) === settled) this.#lines.delete(queue);
    }
  }

  #takeFrom(queue: number, budget: Budget, amount: Amount): Taken {
    budget.left = minus(budget.left, amount);
    budget.underWay = plus(budget.underWay, amount);
    budget.used = true;
    return {
      grant: budget,
      stored: (stored) => {
        budget.underWay = minus(budget.underWay, amount);
        budget.left = plus(budget.left, minus(amount, stored));
      },
      failed: (known) => {
        if (known) {
          budget.underWay = minus(budget.underWay, amount);
          budget.left = plus(budget.left, amount);
        } else if (this.#budgets.get(queue) === budget) this.#budgets.delete(queue);
      },
    };
  }

  async #renewed(need: Need, held: Budget | undefined): Promise<Budget> {
    const askedAt = this.#clock.monotonicMs();
    const current = held !== undefined && askedAt < held.trustedUntil ? held : undefined;
    if (current !== undefined) current.left = NOTHING;
    let asked: Asked;
    try {
      asked = await this.#ask(need, current, SHARE);
    } catch (error) {
      // What the server thinks of it is not known.
      if (!(error instanceof QueueFullError)) this.#budgets.delete(need.queue);
      throw error;
    }
    const { budget, expiresAt, left } = asked;
    const next: Budget = {
      budget,
      expiresAt,
      left,
      trustedUntil: askedAt + TRUSTED_MS,
      underWay: NOTHING,
      used: true,
    };
    if (current !== undefined && current.budget === budget) {
      // Those under way tell the budget they were taken from, so it goes on.
      return Object.assign(current, { expiresAt, left, trustedUntil: next.trustedUntil });
    }
    this.#budgets.set(need.queue, next);
    return next;
  }

  async #ask(
    { queue, limit, amount }: Need,
    current: Budget | undefined,
    share: number | null,
  ): Promise<Asked> {
    const bounded = (of: Amount): [number, number] => [
      limit.items === Number.POSITIVE_INFINITY ? 0 : of.items,
      limit.bytes === Number.POSITIVE_INFINITY ? 0 : of.bytes,
    ];
    const most = (value: number): number => Math.min(value, UNLIMITED);
    const row = await this.#database.row(TAKE_ROOM, [
      queue,
      current?.budget ?? null,
      ...bounded(current?.underWay ?? NOTHING),
      this.#lent.filter((lent) => lent.queue === queue).map(({ budget }) => budget),
      ...bounded(amount),
      most(limit.items),
      most(limit.bytes),
      share,
      BUDGET_MS,
      this.#database.at,
    ]);
    const numbers = row as Readonly<Record<string, number>>;
    const left = unbounded(limit, { items: numbers["items"], bytes: numbers["bytes"] });
    if (fitsInto(left, amount)) {
      const [budget, expiresAt] = [numbers["budget"] as number, numbers["expires_at"] as number];
      return { budget, expiresAt, left };
    }
    const room = { items: numbers["room_items"], bytes: numbers["room_bytes"] };
    throw new QueueFullError(limit, unbounded(limit, room), amount);
  }
}

interface Asked extends Grant {
  readonly left: Amount;
}

function unbounded(
  limit: PendingLimit,
  { items = 0, bytes = 0 }: { readonly [K in keyof Amount]: number | undefined },
): Amount {
  const most = Number.POSITIVE_INFINITY;
  return {
    items: limit.items === most ? most : items,
    bytes: limit.bytes === most ? most : bytes,
  };
}
