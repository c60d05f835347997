/** The ledger's account of incarnations: their lives, and what becomes of their batches. */
import type { DeadRow, Reaped } from "../../packages/batchwork/src/storage/storage.ts";
import type { Ledger } from "./ledger.ts";
import type { BatchRecord, IncarnationRecord } from "./records.ts";
import { die, type When } from "./settle.ts";

/** Notes a new incarnation. */
export function noteEnrolled(
  ledger: Ledger,
  id: number,
  life: number,
  leaseMs: number,
  { from, by }: When,
): void {
  if (ledger.incarnations.has(id)) {
    ledger.fail("I-9 tokens increase", `incarnation id ${id} was used before`);
  }
  const expires = { expiresFrom: from + leaseMs, expiresBy: by + leaseMs };
  ledger.incarnations.set(id, { id, life, alive: true, buriedAt: null, ...expires });
}

/** Notes a heartbeat and what was answered. */
export function noteHeartbeat(
  ledger: Ledger,
  id: number,
  renewed: boolean,
  leaseMs: number,
  { from, by }: When,
): void {
  const record = ledger.incarnations.get(id);
  if (record === undefined) return;
  if (renewed !== record.alive) {
    const detail = `incarnation ${id} is ${record.alive ? "alive" : "over"}, its beat: ${renewed}`;
    ledger.fail("I-8 authority", detail);
  }
  record.expiresFrom = from + leaseMs;
  record.expiresBy = by + leaseMs;
}

/** Notes what the reaper did. `dead` are the dead letters after it, of all queues. */
export function noteReaped(
  ledger: Ledger,
  reaped: Reaped,
  dead: readonly DeadRow[],
  latest: number,
): void {
  let released = 0;
  const deadItems = new Set(dead.map(({ itemId }) => itemId));
  let died = 0;
  for (const id of reaped.incarnations) {
    const record = ledger.incarnations.get(id);
    if (record === undefined) continue;
    checkExpired(ledger, record, latest);
    record.alive = false;
    record.buriedAt = ledger.now;
    if (ledger.heldBy(id).length > 0) ledger.slandered.add(record);
    ledger.totals.buried++;
    for (const batch of ledger.heldBy(id)) {
      const alone = batch.grant?.alone === true;
      if (alone) batch.crashes++;
      batch.suspect = true;
      batch.heldAgainst = { incarnation: id, alone };
      const deadly = batch.items.every((item) => item.id !== null && deadItems.has(item.id));
      if (deadly) {
        died += killBatch(ledger, batch);
      } else {
        if (batch.crashes >= ledger.maxCrashes) {
          const detail = `batch ${batch.id} crashed ${batch.crashes} times alone and lives on`;
          ledger.fail("I-12 attempts", detail);
        }
        ledger.wait(batch, Number.NEGATIVE_INFINITY, ledger.time.atMost);
        released++;
      }
    }
  }
  if (reaped.dead !== died || reaped.released !== released) {
    const said = `${reaped.released} released, ${reaped.dead} dead`;
    ledger.fail("I-4 counts add up", `the reaper says ${said}; it was ${released} and ${died}`);
  }
}

function killBatch(ledger: Ledger, batch: BatchRecord): number {
  if (batch.crashes < ledger.maxCrashes) {
    const times = `${batch.crashes} of ${ledger.maxCrashes} crashes alone`;
    ledger.fail("I-12 attempts", `batch ${batch.id} died after ${times}`);
  }
  for (const item of batch.items) die(ledger, item);
  ledger.finish(batch);
  return batch.items.length;
}

function checkExpired(ledger: Ledger, record: IncarnationRecord, latest: number): void {
  if (!record.alive) {
    ledger.fail("I-8 authority", `incarnation ${record.id} was declared dead twice`);
  }
  if (latest < record.expiresFrom) {
    const early = record.expiresFrom - latest;
    const detail = `was declared dead ${early} ms before its lease ran out`;
    ledger.fail("I-10 one lease, group limit", `incarnation ${record.id} ${detail}`);
  }
}

/** Notes that an owner turned out to be alive: what waits because of it forgets about it. */
export function noteAbsolved(ledger: Ledger, incarnation: number): void {
  const record = ledger.incarnations.get(incarnation);
  if (record !== undefined) ledger.slandered.delete(record);
  for (const batch of ledger.live) {
    const { heldAgainst } = batch;
    if (batch.state !== "ready" || heldAgainst?.incarnation !== incarnation) continue;
    if (heldAgainst.alone) batch.crashes--;
    // What ran alone had been a suspect before.
    batch.suspect = heldAgainst.alone || batch.crashes > 0;
    batch.heldAgainst = null;
  }
}

/** Notes that a batch was given back, and nothing counts. */
export function noteReleased(ledger: Ledger, batch: BatchRecord): void {
  ledger.wait(batch, Number.NEGATIVE_INFINITY, ledger.time.atMost);
}
