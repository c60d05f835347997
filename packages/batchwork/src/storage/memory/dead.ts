/** Dead letters: kept until somebody redrives or discards them. */
import { joinItems } from "../../core/codec.ts";
import { CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX } from "../../core/limits.ts";
import { idAt, indexAt, memberCount } from "../../core/members.ts";
import type { Dead } from "../../core/settle.ts";
import { deathsToKeep } from "../../core/submitted.ts";
import type { DeadQuery, DeadRow, NewChunk, Payload } from "../storage.ts";
import { commitAppend, prepare } from "./append.ts";
import type { Batch } from "./batch.ts";
import type { MemoryData } from "./data.ts";
import type { HeldRecord } from "./keys.ts";
import type { Queue } from "./queue.ts";
import { memberBytes, pick } from "./payload.ts";
import type { Chunk } from "./waiting.ts";

interface Letter {
  readonly row: DeadRow;
  /** The key that the item still holds. */
  readonly key: HeldRecord | null;
  readonly bytes: number;
  /** From when on `onDead` may be told of it. */
  tellAt: number;
}

/** The dead letters of one queue, by id. */
export class DeadLetters {
  /** Ids ascend, so the order of insertion is the order of the ids. */
  readonly #letters = new Map<number, Letter>();
  readonly #untold = new Map<number, Letter>();
  /** The ids in order; those of letters that are gone are swept out now and then. */
  #ids: number[] = [];
  readonly #byGroup = new Map<string, number>();

  count(group: string | null): number {
    return group === null ? this.#letters.size : (this.#byGroup.get(group) ?? 0);
  }

  add(letter: Letter): void {
    const { id, group } = letter.row;
    this.#letters.set(id, letter);
    this.#untold.set(id, letter);
    this.#ids.push(id);
    this.#byGroup.set(group, this.count(group) + 1);
  }

  list({ group, after, limit }: DeadQuery): DeadRow[] {
    const rows: DeadRow[] = [];
    for (let n = firstAbove(this.#ids, after); n < this.#ids.length; n++) {
      if (rows.length >= limit) break;
      const letter = this.#letters.get(this.#ids[n] as number);
      if (letter === undefined || (group !== null && letter.row.group !== group)) continue;
      rows.push(letter.row);
    }
    return rows;
  }

  /** Takes letters out, oldest first. Unknown ids are passed over. */
  remove(ids: readonly number[] | "all"): Letter[] {
    const wanted = ids === "all" ? [...this.#letters.keys()] : ids.toSorted((a, b) => a - b);
    const removed: Letter[] = [];
    for (const id of wanted) {
      const letter = this.#letters.get(id);
      if (letter === undefined) continue;
      this.#letters.delete(id);
      this.#untold.delete(id);
      this.#byGroup.set(letter.row.group, this.count(letter.row.group) - 1);
      removed.push(letter);
    }
    if (this.#ids.length > 2 * this.#letters.size) this.#ids = [...this.#letters.keys()];
    return removed;
  }

  /** Letters to tell `onDead` of: whole batches, so that one call can name them all. */
  takeUntold(limit: number, retryMs: number, now: number): DeadRow[] {
    const rows: DeadRow[] = [];
    for (const letter of this.#untold.values()) {
      if (letter.tellAt > now) continue;
      if (rows.length >= limit && rows.at(-1)?.batch !== letter.row.batch) break;
      letter.tellAt = now + retryMs;
      rows.push(letter.row);
    }
    return rows;
  }

  /**
   * The letters beyond the latest `count`, and those from before `oldest`; with `notify`, only
   * those that `onDead` was told of.
   */
  beyond(count: number, oldest: number, notify: boolean): number[] {
    let left = this.#letters.size;
    const ids: number[] = [];
    for (const [id, { row }] of this.#letters) {
      const kept = left-- <= count && row.diedAt > oldest;
      if (kept) break;
      if (!notify || !this.#untold.has(id)) ids.push(id);
    }
    return ids;
  }

  acknowledge(id: number): void {
    this.#untold.delete(id);
  }
}

/** Makes dead letters of some items of a batch. */
export function bury(
  data: MemoryData,
  batch: Batch,
  dead: readonly Dead[],
  attempts: number,
  now: number,
): void {
  if (dead.length === 0) return;
  const { group } = batch.content;
  const places = placesOf(batch);
  for (const one of dead) {
    const { position, error } = one;
    const { chunk, index, id } = places[position] as Place;
    const items = { from: index, count: 1 };
    const row: DeadRow = {
      id: ++data.lastDead,
      queue: group.queue.id,
      group: group.name,
      itemId: id,
      payload: pick(chunk, items),
      error,
      attempts,
      crashes: batch.record.crashes,
      batch: batch.id,
      rootId: batch.rootId,
      diedAt: now,
    };
    const bytes = memberBytes(chunk, {
      chunk: chunk.id,
      items,
      whole: chunk.count === 1,
    });
    group.queue.dead.add({ row, key: chunk.keys?.[index] ?? null, bytes, tellAt: now });
    const item = typeof row.payload === "string" ? row.payload : row.payload[0];
    group.queue.results.keep(deathsToKeep([id], [item], [one]), now);
  }
}

/** Puts letters back. Their keys stay with them. Returns how many there were. */
export function redrive(
  data: MemoryData,
  queue: Queue,
  ids: readonly number[] | "all",
  now: number,
): number {
  const letters = queue.dead.remove(ids);
  const chunks = redriven(letters);
  const prepared = prepare(data, chunks.map(redrivenChunk), now);
  for (const [n, { chunk }] of prepared.entries()) {
    const keys = (chunks[n] as readonly Letter[]).map(({ key }) => key);
    for (const [index, key] of keys.entries()) {
      if (key !== null) key.place = { chunk: chunk.id, index };
    }
    if (keys.some((key) => key !== null)) chunk.keys = keys;
  }
  commitAppend(prepared, now);
  return letters.length;
}

/** Deletes letters: their items ended. Returns how many there were. */
export function discard(queue: Queue, ids: readonly number[] | "all", now: number): number {
  const letters = queue.dead.remove(ids);
  for (const { key } of letters) if (key !== null) queue.keys.ended(key, now);
  return letters.length;
}

/** The letters by chunk: one per group until it is full, in order of age. */
function redriven(letters: readonly Letter[]): Letter[][] {
  const chunks: Letter[][] = [];
  const open = new Map<string, { letters: Letter[]; bytes: number }>();
  for (const letter of letters) {
    const { group } = letter.row;
    let chunk = open.get(group);
    const full =
      chunk !== undefined &&
      (chunk.letters.length >= CHUNK_ITEMS_MAX || chunk.bytes + letter.bytes > CHUNK_BYTES_MAX);
    if (chunk === undefined || full) {
      chunk = { letters: [], bytes: 0 };
      open.set(group, chunk);
      chunks.push(chunk.letters);
    }
    chunk.letters.push(letter);
    chunk.bytes += letter.bytes;
  }
  return chunks;
}

function redrivenChunk(letters: readonly Letter[]): NewChunk {
  const { queue, group } = (letters[0] as Letter).row;
  const payloads = letters.map(({ row }) => row.payload);
  let bytes = 0;
  for (const letter of letters) bytes += letter.bytes;
  return {
    queue,
    group,
    count: letters.length,
    bytes,
    payload: joined(payloads),
    dueInMs: 0,
  };
}

export function joined(payloads: readonly Payload[]): Payload {
  return typeof payloads[0] === "string" ? joinItems(payloads as string[]) : payloads.flat();
}

interface Place {
  readonly chunk: Chunk;
  readonly index: number;
  readonly id: string;
}

/** Where each item of a batch lies, by position. */
function placesOf(batch: Batch): Place[] {
  const { members, chunks } = batch.content;
  const places: Place[] = [];
  for (const [m, member] of members.entries()) {
    const count = memberCount(member);
    for (let n = 0; n < count; n++) {
      const [index, id] = [indexAt(member, n), idAt(member, n)];
      places.push({ chunk: chunks[m] as Chunk, index, id });
    }
  }
  return places;
}

/** Where the first id above `after` stands. */
function firstAbove(ids: readonly number[], after: number): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ids[middle] as number) <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
