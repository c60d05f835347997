/**
 * Moving the work of one storage to another, once. The order makes it safe to be killed anywhere:
 *
 * 1. The source is locked, and everything is copied in one transaction of the target. Killed here,
 *    both are as they were.
 * 2. The source is marked as moving, durably. From here on nobody works on it.
 * 3. The target commits, and remembers the source.
 * 4. The source is marked as moved.
 *
 * Killed between 2 and 4, the source stays closed until `promote` runs again: it asks the target
 * what became of it, and copies or only marks. Where 3 fails for certain, the mark of 2 is removed.
 */
import { BatchworkError } from "../core/errors.ts";
import type { Clock } from "../core/clock.ts";
import { systemClock } from "../runtime/clock.ts";
import type {
  PromotionDestination,
  PromotionMark,
  PromotionOrigin,
  PromotionReport,
  PromotionSource,
  PromotionTarget,
  PromotionWriter,
} from "../storage/promotion.ts";
import { Fingerprint, PARTS } from "./fingerprint.ts";

/** What {@link promote} moves. */
export interface PromoteOptions {
  /** The storage to move away from: `sqlite({ … })` on a file. No engine may be running on it. */
  readonly from: PromotionOrigin;
  /** The storage to move to: `postgres({ … })`, where nothing was ever added. */
  readonly to: PromotionDestination;
  /** Time. Default: the system's. */
  readonly clock?: Clock;
}

/**
 * Moves everything unfinished: waiting items, batches with their ids and attempts, dead letters,
 * pauses, idempotency keys, kept results. Ids stay valid. Afterwards the source refuses to be
 * opened, and says where its work is.
 *
 * All of it or nothing is moved. After an error, or when the process was killed, call it again with
 * the same two storages; when everything was moved before, it answers what was.
 *
 * @throws `PROMOTE_SOURCE_BUSY`, `PROMOTE_TARGET_USED`, `PROMOTE_MISMATCH`, `STORAGE_MOVED` when
 * the source was moved to another target, `OPTION_INVALID`, and what opening throws
 */
export async function promote(options: PromoteOptions): Promise<PromotionReport> {
  const { from, to, clock = systemClock } = options;
  if (!has(from, "promotionSource")) throw invalid("from", "give sqlite({ path })");
  if (!has(to, "promotionTarget")) throw invalid("to", "give postgres({ … })");
  const source = await from.promotionSource(clock);
  try {
    const target = await to.promotionTarget(clock);
    try {
      return await move(source, target);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

function has(value: unknown, method: string): boolean {
  if (typeof value !== "object" || value === null) return false;
  return typeof Reflect.get(value, method) === "function";
}

function invalid(field: string, advice: string): BatchworkError {
  return new BatchworkError("OPTION_INVALID", `promote: ${field}: ${advice}.`, { field });
}

async function move(source: PromotionSource, target: PromotionTarget): Promise<PromotionReport> {
  const { found } = source;
  if (found !== null) {
    if (found.target.id !== target.place.id) throw elsewhere(found);
    const report = await target.find(source.id);
    if (report !== null) return moved(source, target, report);
    if (found.state === "moved") throw elsewhere(found);
  }
  let marked = false;
  let report: PromotionReport;
  try {
    report = await target.receive(source.id, source.last, async (writer) => {
      const copied = await copy(source, writer);
      await writer.conclude(copied);
      await source.markMoving(target.place);
      marked = true;
      return copied;
    });
  } catch (error) {
    if (!marked) throw error;
    // The reply to the commit may have been lost.
    const committed = await decided(source, target);
    if (committed === null) {
      await source.unmark();
      throw error;
    }
    report = committed;
  }
  return moved(source, target, report);
}

/** As long as it is not known what became of the target, the mark stays. */
async function decided(
  source: PromotionSource,
  target: PromotionTarget,
): Promise<PromotionReport | null> {
  try {
    return await target.find(source.id);
  } catch (cause) {
    const message =
      "promote: it cannot be found out whether the target has committed. The source stays " +
      "closed: run promote again once the target answers.";
    throw new BatchworkError("STORAGE_FAILED", message, { field: "to", cause });
  }
}

async function moved(
  source: PromotionSource,
  target: PromotionTarget,
  report: PromotionReport,
): Promise<PromotionReport> {
  await source.markMoved(target.place);
  return report;
}

async function copy(source: PromotionSource, writer: PromotionWriter): Promise<PromotionReport> {
  const sent = new Fingerprint();
  for (const part of PARTS) {
    for (const page of source.pages(part)) {
      for (const row of page) sent.add(part, row);
      await writer.write(part, page);
    }
  }
  if (!sent.isWhole) {
    const { items } = sent.report;
    const message = `promote: the source counts ${items} items and holds others: it is damaged.`;
    throw new BatchworkError("PROMOTE_MISMATCH", message, { field: "from", value: items });
  }
  await writer.complete();
  const arrived = new Fingerprint();
  for (const part of PARTS) {
    for await (const page of writer.pages(part)) {
      for (const row of page) arrived.add(part, row);
    }
  }
  const [before, after] = [sent.report, arrived.report];
  if (before.hash === after.hash) return before;
  const message =
    "promote: what arrived in the target is not what was sent, so nothing was moved: look for " +
    `triggers or rules on its tables. Sent ${told(before)}; arrived ${told(after)}.`;
  throw new BatchworkError("PROMOTE_MISMATCH", message, { field: "to", value: after });
}

function told({ queues, items, batches, dead, keys, hash }: PromotionReport): string {
  const counts = `${queues} queues, ${items} items, ${batches} batches, ${dead} dead letters`;
  return `${counts}, ${keys} keys (${hash})`;
}

function elsewhere({ state, target }: PromotionMark): BatchworkError {
  const message =
    state === "moved"
      ? `promote: the work of this source was moved to ${target.name} before.`
      : `promote: this source was being moved to ${target.name}: finish that first.`;
  return new BatchworkError("STORAGE_MOVED", message, { field: "from", value: target });
}
