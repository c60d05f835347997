/** All bugs on purpose. Each must be found. */
import { ackBeforeCommit } from "./ack-before-commit.ts";
import { announcedLate } from "./announced-late.ts";
import { appendRetried } from "./append-retried.ts";
import { bytesIgnored } from "./bytes-ignored.ts";
import { clockFreezes } from "./clock-freezes.ts";
import { crashIsAttempt } from "./crash-is-attempt.ts";
import { deadLetterDropped } from "./dead-letter-dropped.ts";
import { dedupKeyCut } from "./dedup-key-cut.ts";
import { dedupKeyOutlivesWindow } from "./dedup-key-outlives-window.ts";
import { diesTooEarly } from "./dies-too-early.ts";
import { duplicatesKept } from "./duplicates-kept.ts";
import { duplicatesPerProcess } from "./duplicates-per-process.ts";
import { effectsOutside } from "./effects-outside.ts";
import { flushForgotten } from "./flush-forgotten.ts";
import { groupLimitIgnored } from "./group-limit-ignored.ts";
import { hookCalledAgain } from "./hook-called-again.ts";
import { hookUnfenced } from "./hook-unfenced.ts";
import { idReused } from "./id-reused.ts";
import { keyCheckedOutside } from "./key-checked-outside.ts";
import { keyConflictIgnored } from "./key-conflict-ignored.ts";
import { keyEndsEarly } from "./key-ends-early.ts";
import { lookForgotten } from "./look-forgotten.ts";
import { neverAbsolved } from "./never-absolved.ts";
import { neverDeadly } from "./never-deadly.ts";
import { noBackoff } from "./no-backoff.ts";
import { pauseForgotten } from "./pause-forgotten.ts";
import { pendingIgnored } from "./pending-ignored.ts";
import { pendingPerProcess } from "./pending-per-process.ts";
import { reapedEarly } from "./reaped-early.ts";
import { redriveLoses } from "./redrive-loses.ts";
import { retryLosesItems } from "./retry-loses-items.ts";
import { sealedEarly } from "./sealed-early.ts";
import { settleBeforeEffects } from "./settle-before-effects.ts";
import { silentSurvivor } from "./silent-survivor.ts";
import { sizeIsTrigger } from "./size-is-trigger.ts";
import { stateOnlyFence } from "./state-only-fence.ts";
import { strangerKept } from "./stranger-kept.ts";
import { strayLease } from "./stray-lease.ts";
import { suspectInCompany } from "./suspect-in-company.ts";
import { tokenRestarts } from "./token-restarts.ts";
import { throttlePerProcess } from "./throttle-per-process.ts";
import { throttleSkipsRetries } from "./throttle-skips-retries.ts";
import { toldTooSoon } from "./told-too-soon.ts";
import { tornAppend } from "./torn-append.ts";
import { unfencedHeartbeat } from "./unfenced-heartbeat.ts";
import { unheard } from "./unheard.ts";
import type { Mutant } from "./mutant.ts";

export const MUTANTS: readonly Mutant[] = [
  ackBeforeCommit,
  announcedLate,
  appendRetried,
  bytesIgnored,
  clockFreezes,
  crashIsAttempt,
  deadLetterDropped,
  dedupKeyCut,
  dedupKeyOutlivesWindow,
  diesTooEarly,
  duplicatesKept,
  duplicatesPerProcess,
  effectsOutside,
  flushForgotten,
  groupLimitIgnored,
  hookCalledAgain,
  hookUnfenced,
  idReused,
  keyCheckedOutside,
  keyConflictIgnored,
  keyEndsEarly,
  lookForgotten,
  neverAbsolved,
  neverDeadly,
  noBackoff,
  pauseForgotten,
  pendingIgnored,
  pendingPerProcess,
  reapedEarly,
  redriveLoses,
  retryLosesItems,
  sealedEarly,
  settleBeforeEffects,
  silentSurvivor,
  sizeIsTrigger,
  stateOnlyFence,
  strangerKept,
  strayLease,
  suspectInCompany,
  tokenRestarts,
  throttlePerProcess,
  throttleSkipsRetries,
  toldTooSoon,
  tornAppend,
  unfencedHeartbeat,
  unheard,
];
