/** The ledger's account of one exchange: settlements first, then claims, then what was left. */
import type {
  ClaimedBatch,
  Exchange,
  Exchanged,
  QueueClaim,
  Settlement,
} from "../../packages/batchwork/src/storage/storage.ts";
import { noteClaimed } from "./claim.ts";
import type { Ledger } from "./ledger.ts";
import type { Life } from "./life.ts";
import type { BatchRecord, Grant, GroupRecord, ItemRecord } from "./records.ts";
import { noteSettled } from "./settle.ts";
import { throttledUntil } from "./throttle.ts";

/** Notes an exchange. Returns what was claimed, with the ledger's own tokens. */
export function noteExchanged(
  ledger: Ledger,
  life: Life,
  request: Exchange,
  exchanged: Exchanged,
  grants: readonly Grant[],
): ClaimedBatch[] {
  const { now } = exchanged;
  for (let n = 0; n < grants.length; n++) {
    const settlement = request.settlements[n] as Settlement;
    const grant = grants[n] as Grant;
    const answer = exchanged.settled[n] ?? "lost";
    ledger.note(life.name, `settle ${named(grant)} ${settlement.outcome.kind}: ${answer}`);
    if (answer === "lost") noteRefused(ledger, grant);
    // Settled again, because the reply to the first time was lost, changes nothing.
    else if (!grant.settled) noteSettled(ledger, grant, settlement.outcome, { from: now, by: now });
  }
  const claimed = exchanged.claimed.map((batch): ClaimedBatch => {
    const grant = noteClaimed(ledger, batch, request, now, life.number);
    life.handed.set(batch.batch, grant);
    const of = `${batch.count} of queue ${batch.queue} "${batch.group}" attempt ${batch.attempt}`;
    ledger.group(batch.queue, batch.group).claimableSince = null;
    ledger.note(life.name, `claim batch ${batch.batch} grant ${grant.number}: ${of}`);
    return { ...batch, token: grant.number };
  });
  for (const claim of request.claims) {
    ledger.queue(claim.queue).claim = claim;
    checkLimit(ledger, claim, exchanged);
  }
  for (const batch of exchanged.claimed) {
    const { waiting } = ledger.group(batch.queue, batch.group);
    if (batch.left < waiting.length) {
      const detail = `batch ${batch.batch}: ${batch.left} left, but ${waiting.length} wait`;
      ledger.fail("I-4 counts add up", detail);
    }
  }
  checkNothingPassedOver(ledger, request, exchanged);
  for (const claim of request.claims) checkTurns(ledger, claim, exchanged);
  return claimed;
}

/** Groups take turns: none is passed over much more often than there are others. */
function checkTurns(ledger: Ledger, claim: QueueClaim, { claimed, now }: Exchanged): void {
  const { groups, name, paused } = ledger.queue(claim.queue);
  const ours = claimed.filter(({ queue }) => queue === claim.queue);
  const sealed = ours.filter(({ sealedAt, parentId }) => sealedAt === now && parentId === null);
  for (const group of groups.values()) {
    const waits = !paused && group.leased < claim.groupConcurrency && dueAt(group, claim) <= now;
    if (!waits || ours.some((batch) => batch.group === group.name)) group.passedOver = 0;
    else group.passedOver += sealed.length;
    if (group.passedOver <= 2 * groups.size) continue;
    const detail = `group "${group.name}" of ${name} saw ${group.passedOver} batches go to others`;
    ledger.fail("claim: no group waits behind another", detail);
  }
}

function noteRefused(ledger: Ledger, grant: Grant): void {
  ledger.totals.lost++;
  if (ledger.isCurrent(grant)) {
    ledger.fail("I-8 authority", `the owner was refused: ${named(grant)}`);
  }
}

function named({ batch, number }: Grant): string {
  return `batch ${batch.id} grant ${number}`;
}

function checkLimit(ledger: Ledger, claim: QueueClaim, { claimed }: Exchanged): void {
  const count = claimed.filter(({ queue }) => queue === claim.queue).length;
  if (count <= claim.limit) return;
  const detail = `${count} batches of queue ${claim.queue} were claimed, ${claim.limit} asked for`;
  ledger.fail("claim: nothing due is passed over", detail);
}

/** What is claimable was claimed or announced, and what will be is announced in time. */
function checkNothingPassedOver(ledger: Ledger, request: Exchange, exchanged: Exchanged): void {
  // The dead get nothing. And a suspect keeps everything else waiting.
  if (ledger.incarnations.get(request.incarnation)?.alive !== true) return;
  const suspects = [...ledger.live].some(({ state, suspect }) => state === "ready" && suspect);
  if (suspects || exchanged.claimed.some(({ alone }) => alone)) return;
  for (const claim of request.claims) {
    const queue = ledger.queue(claim.queue);
    if (queue.paused) continue;
    const taken = exchanged.claimed.filter((batch) => batch.queue === claim.queue).length;
    const next = Math.max(earliest(ledger, claim), throttledUntil(queue, claim, exchanged.now));
    // A process whose places are all taken looks again when one becomes free.
    if (taken >= claim.limit) {
      if (next > exchanged.now || exchanged.more || claim.limit === 0) continue;
      const detail = `queue ${queue.name} has more to claim, and nobody was told`;
      ledger.fail("claim: nothing due is passed over", detail);
    } else if (next <= exchanged.now) {
      const detail = `queue ${queue.name} has work that was due at ${next}, now ${exchanged.now}`;
      ledger.fail(
        "claim: nothing due is passed over",
        `${detail}, ${taken} of ${claim.limit} taken`,
      );
    } else if (next < (exchanged.nextAt ?? Number.POSITIVE_INFINITY)) {
      const detail = `queue ${queue.name} is due at ${next}, nextAt is ${exchanged.nextAt}`;
      ledger.fail("claim: nothing due is passed over", detail);
    }
  }
}

/** Storage time from which on something of the queue is claimable for certain. */
function earliest(ledger: Ledger, claim: QueueClaim): number {
  let next = Number.POSITIVE_INFINITY;
  const { groups } = ledger.queue(claim.queue);
  for (const group of groups.values()) {
    if (group.leased >= claim.groupConcurrency) continue;
    next = Math.min(next, dueAt(group, claim));
  }
  for (const batch of ledger.live) {
    if (batch.queue !== claim.queue || batch.state !== "ready") continue;
    if (blocked(ledger, batch, claim)) continue;
    next = Math.min(next, batch.readyBy);
  }
  return next;
}

function blocked(ledger: Ledger, batch: BatchRecord, claim: QueueClaim): boolean {
  return ledger.group(batch.queue, batch.group).leased >= claim.groupConcurrency;
}

/** Storage time from which on the group's waiting items are certain to be due. */
export function dueAt({ waiting }: GroupRecord, { maxSize, maxBytes }: QueueClaim): number {
  if (waiting.length === 0) return Number.POSITIVE_INFINITY;
  if (waiting.length >= maxSize) return Number.NEGATIVE_INFINITY;
  if (waiting.reduce((bytes, item) => bytes + item.bytes, 0) >= maxBytes) {
    return Number.NEGATIVE_INFINITY;
  }
  const oldest = waiting[0] as ItemRecord;
  return oldest.flushed ? Number.NEGATIVE_INFINITY : oldest.dueAt;
}
