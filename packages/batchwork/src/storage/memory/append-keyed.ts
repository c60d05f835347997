/** Appending items with idempotency keys. */
import { joinItems } from "../../core/codec.ts";
import { appendKeyed, type KeyedAnswer, type KeyedAppend } from "../../core/keyed.ts";
import { prepare, type Prepared } from "./append.ts";
import type { MemoryData } from "./data.ts";
import { HeldRecord } from "./keys.ts";
import { roomOfQueue } from "./pending.ts";
import type { Queue } from "./queue.ts";
import type { Chunk } from "./waiting.ts";

/** Keys that a keyed append forgets at most for each key it stores. */
const FORGOTTEN_PER_KEY = 2;

/** The keys of one transaction, until it commits. */
export class StagedKeys {
  readonly #data: MemoryData;
  readonly #now: number;
  readonly #records = new Map<Queue, Map<string, HeldRecord>>();

  constructor(data: MemoryData, now: number) {
    this.#data = data;
    this.#now = now;
  }

  /** Carries an append out on top of those before; its chunks are added to `prepared`. */
  append(append: KeyedAppend, prepared: Prepared[]): KeyedAnswer[] {
    const data = this.#data;
    for (const { queue } of append.chunks) data.queue(queue);
    const chunks = new Map<number, Chunk>();
    return appendKeyed(append, {
      now: this.#now,
      find: (id, key) => {
        const queue = data.queue(id);
        return this.#records.get(queue)?.get(key)?.held ?? queue.keys.heldAt(this.#now, key);
      },
      room: (id, limit) => roomOfQueue(data.queue(id), limit, prepared),
      append: ({ queue, group, dueInMs }, items) => {
        let bytes = 0;
        for (const item of items) bytes += item.bytes;
        const values = items.map(({ value }) => value);
        const payload = data.payload === "text" ? joinItems(values as string[]) : values;
        const header = { queue, group, count: items.length, bytes, payload, dueInMs };
        const [one] = prepare(data, [header], this.#now) as [Prepared];
        one.chunk.keys = items.map(() => null);
        chunks.set(one.chunk.id, one.chunk);
        prepared.push(one);
        return one.chunk.id;
      },
      hold: ({ keyTtlMs, queue }, key, held) => {
        const record = new HeldRecord(key, held, keyTtlMs);
        const { keys } = chunks.get(held.chunk) as Chunk;
        if (keys !== null) keys[held.index] = record;
        this.#of(data.queue(queue)).set(key, record);
      },
    });
  }

  commit(): void {
    for (const [queue, records] of this.#records) {
      for (const record of records.values()) queue.keys.hold(record);
      queue.keys.forget(this.#now, FORGOTTEN_PER_KEY * records.size);
    }
  }

  #of(queue: Queue): Map<string, HeldRecord> {
    let records = this.#records.get(queue);
    if (records === undefined) this.#records.set(queue, (records = new Map<string, HeldRecord>()));
    return records;
  }
}
