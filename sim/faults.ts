/** The faults of one process: what its storage calls suffer, drawn from the run's generator. */
import type {
  FaultSchedule,
  StorageMethod,
} from "../packages/batchwork/src/testing/faulty-storage.ts";
import type { Faults } from "./plan.ts";
import type { Rng } from "./rng.ts";

/** A switch that ends all faults at once. */
export interface FaultSwitch {
  on: boolean;
  /** Faults that were injected, by name. */
  readonly injected: Record<string, number>;
}

/** Calls of a process that starts or stops fail less, or nothing would ever start. */
const RARELY: ReadonlySet<StorageMethod> = new Set(["open", "close", "define"]);

/** What else the schedule of one process depends on. */
export interface FaultLimits {
  readonly slowestMs: number;
  /** True while the storage fails every call of the process. */
  readonly isDown: () => boolean;
}

/** Faults at the rates of `faults`, as long as the switch is on. */
export function faultSchedule(
  faults: Faults,
  rng: Rng,
  control: FaultSwitch,
  { slowestMs, isDown }: FaultLimits,
): FaultSchedule {
  const count = (name: string): void => {
    control.injected[name] = (control.injected[name] ?? 0) + 1;
  };
  return ({ method }) => {
    if (!control.on) return undefined;
    if (isDown()) {
      count("ioError");
      return { fail: "before" };
    }
    const share = RARELY.has(method) ? 0.3 : 1;
    const slow = rng.chance(faults.slow * share);
    if (slow) count("slow");
    const delays = slow
      ? { delayBeforeMs: rng.unit() * slowestMs, delayAfterMs: rng.unit() * slowestMs }
      : {};
    const draw = rng.unit() / share;
    const { lostReply, ioError, busy } = faults;
    if (draw < lostReply) {
      count("lostReply");
      return { ...delays, fail: "after" };
    }
    if (draw < lostReply + ioError) {
      count("ioError");
      return { ...delays, fail: "before" };
    }
    if (draw < lostReply + ioError + busy) {
      count("busy");
      return { ...delays, fail: "busy" };
    }
    return slow ? delays : undefined;
  };
}
