/** The ledger's account of the end of an attempt: by whom, and with what result. */
import type { Child, Outcome } from "../../packages/batchwork/src/core/settle.ts";
import type { Ledger } from "./ledger.ts";
import type { BatchRecord, Delivery, Grant, ItemRecord, QueuePolicy } from "./records.ts";

/** The storage time of a settling, as far as it is known. */
export interface When {
  readonly from: number;
  readonly by: number;
}

/** Notes a settlement that was carried out. `inside` when `ctx.tx` did it: the handler runs on. */
export function noteSettled(
  ledger: Ledger,
  grant: Grant,
  outcome: Outcome,
  when: When,
  inside = false,
): void {
  const { batch } = grant;
  if (!ledger.isCurrent(grant)) {
    const owner = batch.grant === null ? "nobody" : `grant ${batch.grant.number}`;
    const detail = `batch ${batch.id} was settled by grant ${grant.number}, ${owner} holds it`;
    ledger.fail("I-8 authority", detail);
    return;
  }
  const wrong = judge(ledger, grant, outcome, inside);
  if (wrong !== null) ledger.fail("I-12 attempts", `batch ${batch.id}: ${wrong}`);
  grant.settled = true;
  ledger.totals.settled++;
  for (const item of batch.items) {
    item.attempted = true;
    item.ends++;
  }
  carryOut(ledger, batch, outcome, when);
  checkEffects(ledger, batch);
}

/** Effects are there if and only if the items are done. */
function checkEffects(ledger: Ledger, batch: BatchRecord): void {
  if (!ledger.queue(batch.queue).policy.transactional) return;
  for (const { uid, state } of batch.items) {
    const effects = ledger.effectsOf(uid);
    if (effects === (state === "done" ? 1 : 0)) continue;
    const detail = `item ${uid} of batch ${batch.id} is ${state} and has ${effects} effects`;
    ledger.fail("I-6 effects exactly once", detail);
  }
}

function carryOut(ledger: Ledger, batch: BatchRecord, outcome: Outcome, { from, by }: When): void {
  if (outcome.kind === "again") {
    batch.attempt = outcome.attempt;
    ledger.wait(batch, from + outcome.delayMs, by + outcome.delayMs);
    return;
  }
  const over = new Set(batch.items);
  if (outcome.kind === "split") {
    for (const child of outcome.children) {
      const record = childRecord(batch, child, { from, by });
      for (const item of record.items) over.delete(item);
      batch.children.push(record);
      ledger.live.add(record);
    }
    for (const { position } of outcome.dead) {
      const item = batch.items[position] as ItemRecord;
      over.delete(item);
      die(ledger, item);
    }
  }
  for (const item of over) {
    item.state = "done";
    item.finishes++;
  }
  ledger.finish(batch);
}

/** Notes that an item became a dead letter. */
export function die(ledger: Ledger, item: ItemRecord): void {
  item.state = "dead";
  item.attempted = true;
  item.finishes++;
  item.deaths++;
  item.told = false;
  ledger.queue(item.queue).dead.push(item);
}

function childRecord(parent: BatchRecord, child: Child, { from, by }: When): BatchRecord {
  return {
    id: null,
    queue: parent.queue,
    group: parent.group,
    items: child.positions.map((position) => parent.items[position] as ItemRecord),
    prepared: parent.prepared,
    parent,
    children: [],
    state: "ready",
    attempt: child.attempt,
    token: Number.NEGATIVE_INFINITY,
    grant: null,
    readyFrom: from + child.delayMs,
    readyBy: by + child.delayMs,
    // A clean record: the handler did end.
    crashes: 0,
    suspect: false,
    heldAgainst: null,
  };
}

/** What is wrong with an outcome, given what the handler did; or `null`. */
function judge(ledger: Ledger, grant: Grant, outcome: Outcome, inside: boolean): string | null {
  const { delivery, batch } = grant;
  if (delivery === undefined) return "settled, but no handler ever got it";
  const { policy } = ledger.queue(batch.queue);
  const ends = inside
    ? [{ thrown: false, failed: delivery.failed }]
    : possibleEnds(delivery, ledger.now);
  const reasons: string[] = [];
  for (const { thrown, failed } of ends) {
    const wrong = judgeEnd(batch, policy, failed, thrown, outcome);
    if (wrong === null) return null;
    reasons.push(wrong);
  }
  return reasons.join("; or ") || "settled while the handler still ran";
}

interface End {
  readonly thrown: boolean;
  readonly failed: ReadonlySet<number>;
}

/** How the handler may be said to have ended: two ways when that was about when its time was up. */
function possibleEnds({ end, failed, timesOutAt }: Delivery, now: number): End[] {
  const ends: End[] = [];
  if (end !== "running") ends.push({ thrown: end === "threw", failed });
  // Handlers name what failed at their very end, so at the timeout nothing was named yet.
  if (now >= timesOutAt) ends.push({ thrown: true, failed: new Set() }, { thrown: true, failed });
  return ends;
}

function judgeEnd(
  batch: BatchRecord,
  policy: QueuePolicy,
  failed: ReadonlySet<number>,
  thrown: boolean,
  outcome: Outcome,
): string | null {
  const count = batch.items.length;
  const { attempt } = batch;
  const splits = thrown && policy.onFailure === "bisect" && count > 1 && failed.size < count;
  if (splits && failed.size === 0) return judgeHalves(outcome, count, attempt);
  const all = [...batch.items.keys()];
  const bad = thrown && !splits ? new Set(all) : failed;
  if (bad.size === 0) return outcome.kind === "done" ? null : "not done, though nothing failed";
  if (outcome.kind === "done") return `done, though ${thrown ? "it threw" : "items failed"}`;
  if (outcome.kind === "again" && (bad.size < count || splits)) {
    return "tried again as a whole, though only some items failed";
  }
  const children = outcome.kind === "again" ? [{ ...outcome, positions: all }] : outcome.children;
  const next = children.filter((child) => child.attempt !== attempt);
  const others = children.filter((child) => child.attempt === attempt);
  const dead = outcome.kind === "split" ? outcome.dead.map(({ position }) => position) : [];
  const unnamed = splits ? all.filter((position) => !bad.has(position)) : [];
  const wrong = judgeBad(policy, attempt, { bad, next, dead });
  return wrong ?? judgeOthers(others, new Set(unnamed));
}

/** What became of the items that failed. */
interface Failed {
  readonly bad: ReadonlySet<number>;
  readonly next: readonly Child[];
  readonly dead: readonly number[];
}

/** Items that failed go on with the next attempt while there is one, and are dead then. */
function judgeBad(policy: QueuePolicy, attempt: number, failed: Failed): string | null {
  const { bad, next, dead } = failed;
  const retried = next.flatMap(({ positions }) => positions);
  const exhausted = attempt >= policy.maxAttempts;
  const [right, wrong] = exhausted ? [dead, retried] : [retried, dead];
  if (!sameSet(right, bad) || wrong.length > 0) {
    const became = `again ${list(retried)}, dead ${list(dead)}`;
    return `attempt ${attempt} of ${policy.maxAttempts}: failed ${list(bad)}, ${became}`;
  }
  for (const child of next) {
    const late = judgeDelay(policy, attempt, child);
    if (late !== null) return late;
  }
  return null;
}

/** Items that nobody blamed go on at once, with the same attempt. */
function judgeOthers(others: readonly Child[], unnamed: ReadonlySet<number>): string | null {
  const positions = others.flatMap((child) => child.positions);
  const right = sameSet(positions, unnamed) && others.every(({ delayMs }) => delayMs === 0);
  return right ? null : "items that nobody blamed did not go on at once";
}

function judgeHalves(outcome: Outcome, count: number, attempt: number): string | null {
  if (outcome.kind !== "split" || outcome.dead.length > 0) return "not cut in two";
  const sizes = outcome.children.map(({ positions }) => positions.length);
  const positions = outcome.children.flatMap((child) => child.positions);
  const even = sizes.length === 2 && Math.abs((sizes[0] as number) - (sizes[1] as number)) <= 1;
  if (!even || positions.some((position, n) => position !== n) || positions.length !== count) {
    return `cut into ${sizes.join(" and ")} of ${count}`;
  }
  const same = outcome.children.every((child) => child.attempt === attempt && child.delayMs === 0);
  return same ? null : "a bisect used up an attempt, or waited";
}

function judgeDelay(policy: QueuePolicy, attempt: number, child: Child): string | null {
  if (child.attempt !== attempt + 1) return `attempt ${child.attempt} after ${attempt}`;
  const full =
    policy.strategy === "fixed" ? policy.baseDelay : policy.baseDelay * 2 ** (attempt - 1);
  const most = Math.min(full, policy.maxDelay);
  const least = most * (1 - policy.jitter) - 1;
  const right = child.delayMs >= least && child.delayMs <= most + 1;
  return right ? null : `a delay of ${child.delayMs} ms, not ${least} to ${most}`;
}

function sameSet(positions: readonly number[], expected: ReadonlySet<number>): boolean {
  const distinct = new Set(positions);
  if (distinct.size !== positions.length || distinct.size !== expected.size) return false;
  return positions.every((position) => expected.has(position));
}

function list(positions: Iterable<number>): string {
  return `[${[...positions].join(" ")}]`;
}
