/**
 * Adds with idempotency keys: what of an append is stored, what is a duplicate, what is refused. An
 * append carries several calls; each is carried out as a whole or not at all, whatever becomes of
 * the others.
 */
import { fitsInto, minus, type Amount, type PendingLimit } from "./pending.ts";

/** What to store, if nothing of it is there already. No key of a queue comes twice in it. */
export interface KeyedAppend {
  /** Headers, without items. One of which no item is stored is not appended. */
  readonly chunks: readonly KeyedChunk[];
  /** Call by call, in order. */
  readonly items: readonly KeyedItem[];
}

/** What the items of a chunk have in common. Those of one call are of one queue. */
export interface KeyedChunk {
  readonly queue: number;
  readonly group: string;
  readonly dueInMs: number;
  /** How long a key is held after its item ended, ms; `Infinity` for ever. */
  readonly keyTtlMs: number;
  /** How much of the queue may be pending. Default: no limit. */
  readonly limit?: PendingLimit;
}

/** One item of one call. */
export interface KeyedItem {
  /** Position of its call: 0, 1, 2 … without gaps. */
  readonly call: number;
  /** Position of the header of its chunk. */
  readonly chunk: number;
  /** Well-formed text without NUL; `null` stores the item in any case. */
  readonly key: string | null;
  /** Equal for equal content. */
  readonly digest: string;
  /** Encoded, or as it is where the storage keeps references. */
  readonly value: unknown;
  readonly bytes: number;
}

/**
 * What became of one call. `"stored"`: at this storage time. `"conflict"`: a key of it is held by
 * an item of other content, and nothing of the call is stored. `"busy"`: a key of it was used by a
 * transaction that is still open, nothing of the call is stored, and it is to be tried again later.
 * `"full"`: what is new of it does not fit into the limit, and nothing of the call is stored.
 */
export type KeyedAnswer =
  | { readonly kind: "stored"; readonly at: number; readonly places: readonly KeyedPlace[] }
  | { readonly kind: "conflict"; readonly key: string }
  | { readonly kind: "busy" }
  | FullAnswer;

/** How much there is room for, and how much was to be stored. */
export interface FullAnswer {
  readonly kind: "full";
  readonly room: Amount;
  readonly need: Amount;
}

/** Where an item is: its own place, or that of the item that holds its key. */
export interface KeyedPlace {
  readonly chunk: number;
  readonly index: number;
  readonly duplicate: boolean;
}

/** A key that is held, and what holds it. */
export interface HeldKey {
  readonly chunk: number;
  readonly index: number;
  readonly digest: string;
}

/** What an append asks of a storage, inside one transaction. */
export interface KeyedSteps {
  /** Storage time. */
  readonly now: number;
  /** The key, if it is held. */
  readonly find: (queue: number, key: string) => HeldKey | undefined;
  /** What is left of the limit of a queue. */
  readonly room: (queue: number, limit: PendingLimit) => Amount;
  /** Appends one chunk of at least one item and returns its id. */
  readonly append: (header: KeyedChunk, items: readonly KeyedItem[]) => number;
  /** Has the item at this place hold its key. */
  readonly hold: (header: KeyedChunk, key: string, held: HeldKey) => void;
}

/** A call while it is carried out. */
type Draft =
  { readonly kind: "conflict"; readonly key: string } | FullAnswer | readonly DraftPlace[];

/** `held` where the item is a duplicate; otherwise the index it will have. */
interface DraftPlace {
  readonly item: KeyedItem;
  readonly held: HeldKey | undefined;
  readonly index: number;
}

/** Carries an append out. Changes nothing before all that is to be found was found. */
export function appendKeyed(append: KeyedAppend, steps: KeyedSteps): KeyedAnswer[] {
  const stored = append.chunks.map((): KeyedItem[] => []);
  const rooms = new Map<number, Amount>();
  const drafts = callsOf(append.items).map((items) =>
    draft(append, items, { stored, rooms }, steps),
  );
  const ids = stored.map((items, n) =>
    items.length === 0 ? 0 : steps.append(append.chunks[n] as KeyedChunk, items),
  );
  return drafts.map((call): KeyedAnswer => {
    if ("kind" in call) return call;
    const places = call.map(({ item, held, index }): KeyedPlace => {
      if (held !== undefined) return { chunk: held.chunk, index: held.index, duplicate: true };
      const chunk = ids[item.chunk] as number;
      const header = append.chunks[item.chunk] as KeyedChunk;
      if (item.key !== null) steps.hold(header, item.key, { chunk, index, digest: item.digest });
      return { chunk, index, duplicate: false };
    });
    return { kind: "stored", at: steps.now, places };
  });
}

/** The items of each call. */
function callsOf(items: readonly KeyedItem[]): KeyedItem[][] {
  const calls: KeyedItem[][] = [];
  for (const item of items) (calls[item.call] ??= []).push(item);
  return calls;
}

/** What the calls before have taken. */
interface Drafted {
  readonly stored: readonly KeyedItem[][];
  /** What is left of the limits of queues that have one. */
  readonly rooms: Map<number, Amount>;
}

function amountOf(items: readonly KeyedItem[]): Amount {
  return { items: items.length, bytes: items.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Looks a call's keys up, and puts what is new into `stored` unless one of them conflicts. */
function draft(
  { chunks }: KeyedAppend,
  items: readonly KeyedItem[],
  { stored, rooms }: Drafted,
  { find, room }: KeyedSteps,
): Draft {
  const found: (HeldKey | undefined)[] = [];
  for (const { key, digest, chunk } of items) {
    const held = key === null ? undefined : find((chunks[chunk] as KeyedChunk).queue, key);
    if (key !== null && held !== undefined && held.digest !== digest) {
      return { kind: "conflict", key };
    }
    found.push(held);
  }
  const header = chunks[(items[0] as KeyedItem).chunk] as KeyedChunk;
  if (header.limit !== undefined) {
    const left = rooms.get(header.queue) ?? room(header.queue, header.limit);
    const need = amountOf(items.filter((_, n) => found[n] === undefined));
    if (need.items > 0 && !fitsInto(left, need)) return { kind: "full", room: left, need };
    rooms.set(header.queue, minus(left, need));
  }
  return items.map((item, n): DraftPlace => {
    const held = found[n];
    const list = stored[item.chunk] as KeyedItem[];
    const index = list.length;
    if (held === undefined) list.push(item);
    return { item, held, index };
  });
}
