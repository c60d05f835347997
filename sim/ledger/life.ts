/** Who calls the storage. */
import type { ProcessClock } from "../scheduler.ts";
import type { Grant } from "./records.ts";

/** One life of one process, as the ledger sees it. */
export interface Life {
  readonly number: number;
  readonly name: string;
  readonly clock: ProcessClock;
  /** What this life was handed last, by batch id. */
  readonly handed: Map<number, Grant>;
}
