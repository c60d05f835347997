/** `batchwork/testing`: what tests of batches, and of storages, are written with. */
export {
  storageConformance,
  type ConformanceOptions,
  type OpenedStorage,
  type StorageTraits,
} from "./conformance.ts";
export {
  expectDelivered,
  recordDeliveries,
  type DeliveryRecorder,
  type ExpectedDeliveries,
  type RecordedDelivery,
} from "./deliveries.ts";
export { drain, type Drainable, type DrainableEngine, type DrainOptions } from "./drain.ts";
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
export {
  verifyHandler,
  type EffectObjects,
  type EffectProblem,
  type VerifyOptions,
  type VerifyReport,
} from "./verify-handler.ts";
