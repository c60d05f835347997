/** The ledger's account of batches whose items a hook put in another order. */
import { itemIds, type Member } from "../../packages/batchwork/src/core/members.ts";
import type { Ledger } from "./ledger.ts";
import type { Grant, ItemRecord } from "./records.ts";

/** Notes what the storage answered to the owner, or to somebody who no longer is. */
export function notePrepared(
  ledger: Ledger,
  grant: Grant,
  members: readonly Member[] | null,
): void {
  const { batch } = grant;
  const what = `preparing batch ${batch.id} under grant ${grant.number}`;
  if ((members !== null) !== ledger.isCurrent(grant)) {
    ledger.fail("I-8 authority", `${what}: ${members === null ? "refused" : "stored"}`);
    return;
  }
  if (members === null) return;
  const items = itemIds(members).map((id) => ledger.byId.get(id));
  const known = items.filter((item): item is ItemRecord => item !== undefined);
  const all = new Set([...known, ...batch.items]);
  if (known.length !== batch.items.length || all.size !== known.length) {
    ledger.fail("I-5 same id, same content", `${what} left it with other items`);
  }
  if (batch.prepared && known.some((item, n) => item !== batch.items[n])) {
    ledger.fail("I-5 same id, same content", `${what} changed it once more`);
  }
  batch.items = known;
  batch.prepared = true;
}
