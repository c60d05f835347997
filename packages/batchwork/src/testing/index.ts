/** `batchwork/testing`: what tests of batches, and of storages, are written with. */
export {
  storageConformance,
  type ConformanceOptions,
  type OpenedStorage,
  type StorageTraits,
} from "./conformance.ts";
export {
  failNth,
  faultyStorage,
  type FaultOptions,
  type FaultSchedule,
  type NthFault,
  type StorageCall,
  type StorageFault,
  type StorageMethod,
} from "./faulty-storage.ts";
export { ManualClock, type ManualClockOptions } from "./manual-clock.ts";
export { seededRandom } from "./random.ts";
