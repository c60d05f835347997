/**
 * Group commit of queues that have a limit, apart from all others: a call may not fit, and then
 * nobody else fails with it. The calls of a queue are taken in order: one that waits for room is
 * not overtaken.
 */
import { BatchworkError } from "../core/errors.ts";
import {
  checkFits,
  fitsInto,
  minus,
  NOTHING,
  plus,
  QueueFullError,
  refusalOf,
  type Amount,
} from "../core/pending.ts";
import type { MaxPending } from "../core/pending-option.ts";
import type { AppendedChunk, NewChunk, Storage } from "../storage/storage.ts";
import type { AddResult, IntakeItem } from "./intake.ts";
import type { ChunkQueue, LandedChunk } from "./open-chunk.ts";
import type { Soon } from "./soon.ts";

/** A commit grows no larger than this. */
const COMMIT_ITEMS_MAX = 20_000;

/** What a limited intake needs to know of a queue. */
export interface LimitedQueue extends ChunkQueue {
  /**
   * Where several of these stand for one queue: what they have in common. Its calls wait in one
   * line, and its keys are unique in it. Default: itself.
   */
  readonly scope?: object;
}

/** The chunks of one commit. */
export interface SharedChunks {
  readonly chunks: readonly LandedChunk[];
  /** Puts the items of a call in; what comes back tells their results once they are stored. */
  putAll(queue: ChunkQueue, items: readonly IntakeItem[]): () => AddResult[];
  sealed(payload: Storage["payload"]): NewChunk[];
  appended(appended: readonly AppendedChunk[]): void;
}

/** What a limited intake works with. */
export interface LimitedIntakeParts {
  readonly soon: Soon;
  readonly storage: Storage;
  /** Resolves once the storage is open and the queues have their ids. */
  readonly ready: () => Promise<void>;
  readonly appended: (chunks: readonly LandedChunk[]) => void;
  /** Resolves when there may be room, or when it is time to ask for the `nth` time. */
  readonly news: (nth: number) => Promise<void>;
  readonly newChunks: () => SharedChunks;
}

class Call {
  readonly queue: LimitedQueue;
  readonly items: readonly IntakeItem[];
  readonly need: Amount;
  readonly promise: Promise<AddResult[]>;
  resolve!: (results: AddResult[]) => void;
  reject!: (error: unknown) => void;

  constructor(queue: LimitedQueue, items: readonly IntakeItem[]) {
    this.queue = queue;
    this.items = items;
    this.need = needOf(items);
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Nobody may be waiting (the caller did not await): that is no unhandled rejection of ours.
    this.promise.catch(() => undefined);
  }
}

interface Line {
  readonly scope: object;
  readonly calls: Call[];
  /** True while the first of them waits for room. */
  full: boolean;
  /** How often there was none for the first of them. */
  asked: number;
}

/** What items need of a limit. */
function needOf(items: readonly IntakeItem[]): Amount {
  let need = NOTHING;
  for (const { count = 1, bytes } of items) need = plus(need, { items: count, bytes });
  return need;
}

export class LimitedIntake {
  readonly #parts: LimitedIntakeParts;
  readonly #lines = new Map<object, Line>();
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  constructor(parts: LimitedIntakeParts) {
    this.#parts = parts;
  }

  /** Stores the items of a call, all of them or none. Resolves after the commit. */
  async add(queue: LimitedQueue, items: readonly IntakeItem[]): Promise<AddResult[]> {
    if (this.#closed) throw stopped();
    if (items.length === 0) return [];
    const call = new Call(queue, items);
    if (queue.maxPending !== undefined) checkFits(queue.maxPending, call.need);
    const scope = queue.scope ?? queue;
    const line = this.#lines.get(scope);
    if (line !== undefined) line.calls.push(call);
    else this.#begin({ scope, calls: [call], full: false, asked: 0 });
    return call.promise;
  }

  /** How many calls wait: for room, or behind one that does. `scope`: that of their queue. */
  waiting(scope: object): number {
    const line = this.#lines.get(scope);
    return line === undefined || line.asked === 0 ? 0 : line.calls.length;
  }

  /** Resolves when what was added before is stored, was refused, or waits for room. */
  async settled(): Promise<void> {
    while ([...this.#lines.values()].some(({ full }) => !full)) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  /** Takes no new items. What waits for room is given up. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { calls, full } of this.#lines.values()) {
      if (full) for (const call of calls.splice(0)) call.reject(stopped());
    }
    await this.settled();
  }

  #begin(line: Line): void {
    this.#lines.set(line.scope, line);
    this.#parts.soon.run(() => void this.#run(line));
  }

  async #run(line: Line): Promise<void> {
    while (line.calls.length > 0) {
      if (await this.#commit(line)) line.asked = 0;
      else if (this.#closed) for (const call of line.calls.splice(0)) call.reject(stopped());
      else await this.#waitForRoom(line);
    }
    this.#lines.delete(line.scope);
    this.#changed();
  }

  async #waitForRoom(line: Line): Promise<void> {
    line.full = true;
    this.#changed();
    await this.#parts.news(line.asked++);
    line.full = false;
  }

  #changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Decides about the first calls. False when the first of them has to wait for room. */
  async #commit(line: Line): Promise<boolean> {
    const { storage, ready, appended } = this.#parts;
    let calls = firstOf(line.calls);
    try {
      await ready();
      for (;;) {
        const chunks = this.#parts.newChunks();
        const results = calls.map(({ queue, items }) => chunks.putAll(queue, items));
        try {
          chunks.appended(await storage.append(chunks.sealed(storage.payload)));
        } catch (error) {
          const { maxPending } = (calls[0] as Call).queue;
          if (!(error instanceof QueueFullError) || maxPending === undefined) throw error;
          const [first] = calls;
          calls = choose(line.calls, calls, error.room, maxPending);
          if (calls.length > 0) continue;
          return line.calls[0] !== first;
        }
        appended(chunks.chunks);
        remove(line.calls, calls);
        for (const [n, call] of calls.entries()) call.resolve((results[n] as () => AddResult[])());
        return true;
      }
    } catch (error) {
      remove(line.calls, calls);
      for (const call of calls) call.reject(error);
      return true;
    }
  }
}

/** As many as one commit takes. */
function firstOf(calls: readonly Call[]): readonly Call[] {
  let items = 0;
  const end = calls.findIndex(({ need }, n) => (items += need.items) > COMMIT_ITEMS_MAX && n > 0);
  return end === -1 ? [...calls] : calls.slice(0, end);
}

/** Those that there is room for; others are refused, or wait with all that came after them. */
function choose(
  line: Call[],
  calls: readonly Call[],
  room: Amount,
  maxPending: MaxPending,
): readonly Call[] {
  const chosen: Call[] = [];
  let left = room;
  for (const call of calls) {
    const { need } = call;
    if (fitsInto(left, need)) {
      chosen.push(call);
      left = minus(left, need);
    } else if (maxPending.policy === "wait" && fitsInto(maxPending, need)) break;
    else {
      remove(line, [call]);
      call.reject(refusalOf(maxPending, left, need));
    }
  }
  return chosen;
}

function remove(line: Call[], calls: readonly Call[]): void {
  const gone = new Set(calls);
  line.splice(0, line.length, ...line.filter((call) => !gone.has(call)));
}

/** What is refused, or given up, once the engine stops. */
export function stopped(): BatchworkError {
  return new BatchworkError("STOPPED", "The engine is stopped: the item was not stored.");
}
