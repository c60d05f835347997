/** The ledger's account of intake, flush and dead letters put back. */
import type { AppendedChunk, NewChunk } from "../../packages/batchwork/src/storage/storage.ts";
import { splitItems } from "../../packages/batchwork/src/core/codec.ts";
import { itemId } from "../../packages/batchwork/src/core/members.ts";
import type { SimItem } from "../item.ts";
import type { Ledger } from "./ledger.ts";
import { checkPending } from "./pending.ts";
import type { ItemRecord } from "./records.ts";

/** Notes chunks that were committed. */
export function noteAppended(
  ledger: Ledger,
  by: number,
  chunks: readonly NewChunk[],
  appended: readonly AppendedChunk[],
): void {
  if (appended.length !== chunks.length) {
    ledger.fail(
      "I-1 acknowledged items exist",
      "append answered for fewer chunks than it was given",
    );
    return;
  }
  for (let n = 0; n < chunks.length; n++) {
    noteChunk(ledger, by, chunks[n] as NewChunk, appended[n] as AppendedChunk);
  }
  checkPending(ledger, chunks);
}

function noteChunk(
  ledger: Ledger,
  by: number,
  chunk: NewChunk,
  { id, dueAt }: AppendedChunk,
): void {
  const texts = splitItems(chunk.payload as string);
  const { waiting } = ledger.group(chunk.queue, chunk.group);
  for (let index = 0; index < texts.length; index++) {
    const item = newItem(texts[index] as string, chunk, { id: itemId(id, index), dueAt, by });
    if (ledger.byText.has(item.text)) {
      ledger.fail("I-3 membership never changes", `item ${item.uid} was appended twice`);
    }
    if (ledger.byId.has(item.firstId)) {
      ledger.fail("I-3 membership never changes", `item id ${item.firstId} was used before`);
    }
    ledger.byText.set(item.text, item);
    ledger.byUid.set(item.uid, item);
    ledger.byId.set(item.firstId, item);
    const key = chunk.dedupKeys?.[index] ?? null;
    // A key is held by an item that waits: the first one stays, and nobody is told.
    if (key !== null && waiting.some(({ dedupKey }) => dedupKey === key)) {
      item.state = "left out";
      ledger.totals.leftOut++;
      continue;
    }
    item.dedupKey = key;
    waiting.push(item);
  }
  ledger.totals.appended += texts.length;
}

/** What the chunk does not say of an item. */
interface Origin {
  readonly id: string;
  readonly dueAt: number;
  readonly by: number;
}

function newItem(text: string, { queue, group }: NewChunk, { id, dueAt, by }: Origin): ItemRecord {
  const { uid } = JSON.parse(text) as SimItem;
  return {
    uid,
    text,
    bytes: Buffer.byteLength(text),
    queue,
    group,
    by,
    id,
    firstId: id,
    state: "waiting",
    dedupKey: null,
    dueAt,
    flushed: false,
    attempted: false,
    ends: 0,
    finishes: 0,
    deaths: 0,
    told: false,
  };
}

/** Notes that `flush` made what waits due. It does nothing while the queue is paused. */
export function noteMadeDue(ledger: Ledger, queue: number, group: string | null): void {
  const { groups, paused } = ledger.queue(queue);
  if (paused) return;
  for (const { name, waiting } of groups.values()) {
    if (group !== null && group !== name) continue;
    for (const item of waiting) item.flushed = true;
  }
}

/** Notes that all dead letters of a queue were put back. */
export function noteRedriven(ledger: Ledger, queue: number, count: number): void {
  const record = ledger.queue(queue);
  checkCount(ledger, "redrive", count, record.dead.length);
  for (const item of record.dead) {
    item.state = "waiting";
    item.dueAt = Number.NEGATIVE_INFINITY;
    item.flushed = false;
    item.dedupKey = null;
    item.attempted = false;
    item.id = null;
    ledger.group(queue, item.group).waiting.push(item);
  }
  ledger.totals.redriven += record.dead.length;
  record.dead = [];
}

/** Notes that all dead letters of a queue were thrown away. */
export function noteDiscarded(ledger: Ledger, queue: number, count: number): void {
  const record = ledger.queue(queue);
  checkCount(ledger, "discard", count, record.dead.length);
  for (const item of record.dead) item.state = "discarded";
  record.dead = [];
}

function checkCount(ledger: Ledger, what: string, count: number, expected: number): void {
  if (count === expected) return;
  ledger.fail("I-4 counts add up", `${what} found ${count} dead letters, not ${expected}`);
}
