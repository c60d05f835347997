/** The ledger's account of items with idempotency keys. */
import { joinItems } from "../../packages/batchwork/src/core/codec.ts";
import type {
  KeyedAnswer,
  KeyedAppend,
  KeyedChunk,
  KeyedItem,
  KeyedPlace,
} from "../../packages/batchwork/src/core/keyed.ts";
import { itemId } from "../../packages/batchwork/src/core/members.ts";
import type { AppendedChunk, NewChunk } from "../../packages/batchwork/src/storage/storage.ts";
import type { Ledger } from "./ledger.ts";

/** What of a keyed append was stored, as an append without keys would have it. */
export interface Stored {
  readonly chunks: readonly NewChunk[];
  readonly appended: readonly AppendedChunk[];
}

interface StoredItem {
  readonly item: KeyedItem;
  readonly place: KeyedPlace;
  readonly at: number;
}

/** The items that are new, by chunk and in order. */
export function storedOf(append: KeyedAppend, answers: readonly KeyedAnswer[]): Stored {
  const byChunk = new Map<number, StoredItem[]>();
  for (const { item, place, at } of answered(append, answers)) {
    if (place.duplicate) continue;
    const list = byChunk.get(place.chunk) ?? [];
    byChunk.set(place.chunk, list);
    list[place.index] = { item, place, at };
  }
  const chunks: NewChunk[] = [];
  const appended: AppendedChunk[] = [];
  for (const [id, list] of [...byChunk].toSorted(([a], [b]) => a - b)) {
    const [{ item, at }] = list as [StoredItem];
    const { queue, group, dueInMs, limit } = append.chunks[item.chunk] as KeyedChunk;
    const payload = joinItems(list.map((one) => one.item.value as string));
    const bytes = list.reduce((sum, one) => sum + one.item.bytes, 0);
    const chunk = { queue, group, count: list.length, bytes, payload, dueInMs };
    chunks.push(limit === undefined ? chunk : { ...chunk, limit });
    appended.push({ id, dueAt: at + dueInMs });
  }
  return { chunks, appended };
}

/** Checks the answers. To be called once what was stored is noted. Keys outlive every run. */
export function noteKeyed(
  ledger: Ledger,
  append: KeyedAppend,
  answers: readonly KeyedAnswer[],
): void {
  for (const { item, place } of answered(append, answers)) {
    if (item.key !== null) noteKey(ledger, append, item, place);
  }
  for (const answer of answers) {
    if (answer.kind === "stored" || answer.kind === "full") continue;
    const detail = `a call was answered with ${answer.kind}`;
    const call = append.items.filter(({ call: n }) => answers[n] === answer);
    const held = answer.kind === "conflict" && call.some((item) => isOther(ledger, append, item));
    if (!held) ledger.fail("one item per key", `${detail}, and no other content has its keys`);
  }
}

function noteKey(ledger: Ledger, append: KeyedAppend, item: KeyedItem, place: KeyedPlace): void {
  const name = nameOf(append, item);
  const holder = ledger.keys.get(name);
  const id = itemId(place.chunk, place.index);
  if (place.duplicate) {
    const known = holder?.id === null || holder?.id === id;
    if (holder?.text === item.value && known) return;
    const detail = `${name} was called a duplicate of ${id}, and is held by ${holder?.id}`;
    ledger.fail("one item per key", detail);
    return;
  }
  if (holder !== undefined) ledger.fail("one item per key", `${name} was stored twice`);
  const record = ledger.byId.get(id);
  if (record !== undefined) ledger.keys.set(name, record);
}

/** True when an item of other content holds the key. */
function isOther(ledger: Ledger, append: KeyedAppend, item: KeyedItem): boolean {
  const holder = item.key === null ? undefined : ledger.keys.get(nameOf(append, item));
  return holder !== undefined && holder.text !== item.value;
}

function nameOf({ chunks }: KeyedAppend, { chunk, key }: KeyedItem): string {
  return `key ${key} of queue ${chunks[chunk]?.queue}`;
}

/** The items of calls that were stored, and where they are. */
function answered(append: KeyedAppend, answers: readonly KeyedAnswer[]): StoredItem[] {
  const found: StoredItem[] = [];
  const next = answers.map(() => 0);
  for (const item of append.items) {
    const answer = answers[item.call];
    if (answer?.kind !== "stored") continue;
    const n = next[item.call] as number;
    next[item.call] = n + 1;
    found.push({ item, place: answer.places[n] as KeyedPlace, at: answer.at });
  }
  return found;
}
