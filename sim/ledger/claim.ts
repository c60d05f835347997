/** The ledger's account of claims: what may be claimed, by whom, and what it must contain. */
import { splitItems } from "../../packages/batchwork/src/core/codec.ts";
import { itemIds } from "../../packages/batchwork/src/core/members.ts";
import type {
  ClaimedBatch,
  Exchange,
  QueueClaim,
} from "../../packages/batchwork/src/storage/storage.ts";
import type { Ledger } from "./ledger.ts";
import type { BatchRecord, Grant, GroupRecord, ItemRecord } from "./records.ts";
import { noteDelivered } from "./throttle.ts";

/** Notes one claimed batch and returns the grant that stands for it. */
export function noteClaimed(
  ledger: Ledger,
  claimed: ClaimedBatch,
  request: Exchange,
  now: number,
  life: number,
): Grant {
  const claim = request.claims.find(({ queue }) => queue === claimed.queue);
  if (claim === undefined) {
    ledger.fail("claim: nothing due is passed over", `batch ${claimed.batch}: queue not asked for`);
  } else if (ledger.queue(claimed.queue).paused) {
    ledger.fail("seal: only what is due", `batch ${claimed.batch} was claimed from a paused queue`);
  }
  if (claim !== undefined) noteDelivered(ledger, ledger.queue(claimed.queue), claim, now);
  const items = itemsOf(ledger, claimed);
  const known = ledger.batches.get(claimed.batch);
  if (known !== undefined) checkSame(ledger, known, claimed, items, now);
  const batch = known ?? newBatch(ledger, claimed, items, claim, now);
  checkOwner(ledger, batch, claimed, request);
  const grant = lease(ledger, batch, claimed, request.incarnation, life);
  const limit = claim?.groupConcurrency ?? Number.POSITIVE_INFINITY;
  const { leased } = ledger.group(batch.queue, batch.group);
  if (leased > limit) {
    const detail = `${leased} batches of group "${batch.group}" are leased, ${limit} may be`;
    ledger.fail("I-10 one lease, group limit", detail);
  }
  return grant;
}

/** The items that the batch delivers, in order, checked against its ids. */
function itemsOf(ledger: Ledger, claimed: ClaimedBatch): ItemRecord[] {
  const texts = claimed.payloads.flatMap((payload) => splitItems(payload as string));
  const ids = itemIds(claimed.members);
  const what = `batch ${claimed.batch}`;
  if (texts.length !== ids.length || texts.length !== claimed.count || texts.length === 0) {
    const counts = `${texts.length} items, ${ids.length} ids, count ${claimed.count}`;
    ledger.fail("I-5 same id, same content", `${what}: ${counts}`);
  }
  let bytes = 0;
  const items: ItemRecord[] = [];
  for (let n = 0; n < texts.length; n++) {
    const item = ledger.byText.get(texts[n] as string);
    if (item === undefined) {
      ledger.fail(
        "I-5 same id, same content",
        `${what} delivers what was never added: ${texts[n]}`,
      );
      continue;
    }
    if (item.state === "left out") {
      ledger.fail("one item per window and key", `${what} delivers duplicate ${item.uid}`);
    }
    bytes += item.bytes;
    const id = ids[n] as string;
    if (item.id === null && !ledger.byId.has(id)) {
      item.id = id;
      ledger.byId.set(id, item);
    } else if (item.id !== id) {
      const detail = `${what}: item ${item.uid} came as ${id}, was ${item.id ?? "redriven"}`;
      ledger.fail("I-5 same id, same content", detail);
    }
    if (item.queue !== claimed.queue || item.group !== claimed.group) {
      ledger.fail("I-5 same id, same content", `${what}: item ${item.uid} is of another group`);
    }
    items.push(item);
  }
  if (bytes !== claimed.bytes) {
    ledger.fail(
      "I-4 counts add up",
      `${what} has ${bytes} bytes, the storage says ${claimed.bytes}`,
    );
  }
  return items;
}

/** A batch that was seen before is the same batch, and was waiting. */
function checkSame(
  ledger: Ledger,
  batch: BatchRecord,
  claimed: ClaimedBatch,
  items: readonly ItemRecord[],
  now: number,
): void {
  const what = `batch ${claimed.batch}`;
  const same =
    items.length === batch.items.length && items.every((item, n) => item === batch.items[n]);
  if (!same) {
    const detail = `${what} was ${numbers(batch.items)}, is ${numbers(items)}`;
    ledger.fail("I-5 same id, same content", detail);
  }
  if (claimed.prepared !== batch.prepared) {
    ledger.fail("I-5 same id, same content", `${what} is prepared: ${claimed.prepared}`);
  }
  if (batch.state === "done") ledger.fail("I-11 transitions", `${what} was done and was claimed`);
  checkReady(ledger, batch, what, now);
  ledger.totals.reclaims++;
}

function checkReady(ledger: Ledger, batch: BatchRecord, what: string, now: number): void {
  if (batch.state === "ready" && now < batch.readyFrom) {
    const early = batch.readyFrom - now;
    ledger.fail(
      "seal: only what is due",
      `${what} was claimed ${early} ms before its next attempt`,
    );
  }
}

/** A batch with a new id: sealed now, or a child of a split. */
function newBatch(
  ledger: Ledger,
  claimed: ClaimedBatch,
  items: readonly ItemRecord[],
  claim: QueueClaim | undefined,
  now: number,
): BatchRecord {
  const what = `batch ${claimed.batch}`;
  const root = claimed.parentId === null ? claimed.batch : undefined;
  if (root !== undefined && claimed.rootId !== root) {
    ledger.fail(
      "I-3 membership never changes",
      `${what} has no parent, but root ${claimed.rootId}`,
    );
  }
  if (claimed.parentId !== null) {
    const child = childOf(ledger, claimed.parentId, items);
    if (child !== undefined) {
      child.id = claimed.batch;
      ledger.batches.set(claimed.batch, child);
      checkReady(ledger, child, what, now);
      if (claimed.rootId !== rootOf(child)) {
        ledger.fail("I-3 membership never changes", `${what} has the wrong root ${claimed.rootId}`);
      }
      return child;
    }
    const detail = `${what} is no child that ${claimed.parentId} was split into: ${numbers(items)}`;
    ledger.fail("I-3 membership never changes", detail);
  } else if (claim !== undefined) checkSeal(ledger, claimed, items, claim, now);
  const batch: BatchRecord = {
    id: claimed.batch,
    queue: claimed.queue,
    group: claimed.group,
    items,
    prepared: false,
    parent: null,
    children: [],
    state: "ready",
    attempt: 1,
    token: Number.NEGATIVE_INFINITY,
    grant: null,
    readyFrom: Number.NEGATIVE_INFINITY,
    readyBy: Number.NEGATIVE_INFINITY,
    crashes: 0,
    suspect: false,
    heldAgainst: null,
  };
  for (const item of items) item.state = "sealed";
  const group = ledger.group(claimed.queue, claimed.group);
  group.waiting = group.waiting.filter(({ state }) => state === "waiting");
  ledger.batches.set(claimed.batch, batch);
  ledger.live.add(batch);
  return batch;
}

function childOf(
  ledger: Ledger,
  parentId: number,
  items: readonly ItemRecord[],
): BatchRecord | undefined {
  return ledger.batches
    .get(parentId)
    ?.children.find(
      (child) =>
        child.id === null &&
        child.items.length === items.length &&
        child.items.every((item, n) => item === items[n]),
    );
}

function rootOf(batch: BatchRecord): number | null {
  let root = batch;
  while (root.parent !== null) root = root.parent;
  return root.id;
}

/** Sealing: the front of the line, as many as fit, and only when it was due or full. */
function checkSeal(
  ledger: Ledger,
  claimed: ClaimedBatch,
  items: readonly ItemRecord[],
  claim: QueueClaim,
  now: number,
): void {
  const what = `batch ${claimed.batch}`;
  const group = ledger.group(claimed.queue, claimed.group);
  if (items.some((item, n) => item !== group.waiting[n])) {
    const detail = `${what} is ${numbers(items)}, but ${numbers(group.waiting)} wait`;
    ledger.fail("seal: order and size", detail);
    return;
  }
  const { maxSize, maxBytes } = claim;
  const next = group.waiting[items.length];
  const cut =
    next === undefined || items.length >= maxSize || claimed.bytes + next.bytes > maxBytes;
  const fits = items.length <= maxSize && (claimed.bytes <= maxBytes || items.length === 1);
  if (!fits || !cut) {
    const detail = `${items.length} items, ${claimed.bytes} bytes of ${maxSize}, ${maxBytes}`;
    ledger.fail("seal: order and size", `${what}: ${detail}`);
  }
  if (!isDue(group, claim, now)) {
    const detail = `${what}: ${items.length} of ${maxSize} items, neither due nor flushed`;
    ledger.fail("seal: only what is due", detail);
  }
}

/** True when the group's waiting items may be sealed. */
function isDue({ waiting }: GroupRecord, { maxSize, maxBytes }: QueueClaim, now: number): boolean {
  if (waiting.length >= maxSize) return true;
  if (waiting.reduce((bytes, item) => bytes + item.bytes, 0) >= maxBytes) return true;
  return waiting.some((item) => item.flushed || item.dueAt <= now);
}

function checkOwner(
  ledger: Ledger,
  batch: BatchRecord,
  claimed: ClaimedBatch,
  request: Exchange,
): void {
  const what = `batch ${claimed.batch}`;
  if (batch.grant !== null) {
    const { incarnation } = batch.grant;
    const detail = `${what} was claimed while incarnation ${incarnation} holds it`;
    ledger.fail("I-10 one lease, group limit", detail);
  }
  if (ledger.incarnations.get(request.incarnation)?.alive !== true) {
    const detail = `${what} was claimed for incarnation ${request.incarnation}, which has ended`;
    ledger.fail("I-10 one lease, group limit", detail);
  }
  if (claimed.token <= batch.token) {
    ledger.fail("I-9 tokens increase", `${what}: token ${claimed.token} after ${batch.token}`);
  }
  if (claimed.attempt !== batch.attempt) {
    const detail = `${what} came as attempt ${claimed.attempt}, it is attempt ${batch.attempt}`;
    ledger.fail("I-12 attempts", detail);
  }
  if (claimed.alone && !request.alone) {
    ledger.fail("suspect runs alone", `${what} was handed to a process that runs other batches`);
  }
  if (claimed.alone !== batch.suspect) {
    const detail = `${what} is ${batch.suspect ? "a" : "no"} suspect`;
    ledger.fail("suspect runs alone", `${detail}; handed over alone: ${claimed.alone}`);
  }
}

function lease(
  ledger: Ledger,
  batch: BatchRecord,
  claimed: ClaimedBatch,
  incarnation: number,
  life: number,
): Grant {
  ledger.unlease(batch);
  const grant: Grant = {
    number: ledger.grants.size + 1,
    batch,
    token: claimed.token,
    incarnation,
    life,
    attempt: claimed.attempt,
    alone: claimed.alone,
    at: ledger.now,
    settled: false,
    delivery: undefined,
  };
  ledger.grants.set(grant.number, grant);
  batch.grant = grant;
  batch.state = "leased";
  batch.token = Math.max(batch.token, claimed.token);
  ledger.queue(batch.queue).leased++;
  ledger.group(batch.queue, batch.group).leased++;
  ledger.totals.claims++;
  return grant;
}

function numbers(items: readonly ItemRecord[]): string {
  return `[${items.map(({ uid }) => uid).join(" ")}]`;
}
