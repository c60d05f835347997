/** The parts of the storage port that have files of their own. */
import type { Definitions } from "./definitions.ts";
import type { History } from "./history.ts";
import type { KeyedIntake } from "./keyed.ts";
import type { Looping } from "./loops.ts";
import type { Pending } from "./pending.ts";
import type { Pooling } from "./pools.ts";
import type { Preparation } from "./preparation.ts";
import type { ResultKeeping } from "./results.ts";
import type { Retaining } from "./retention.ts";
import type { Tabled } from "./tables.ts";
import type { Throttling } from "./throttling.ts";

export interface StorageParts
  extends
    Definitions,
    Retaining,
    KeyedIntake,
    Preparation,
    Throttling,
    Pending,
    History,
    ResultKeeping,
    Tabled,
    Looping,
    Pooling {}
