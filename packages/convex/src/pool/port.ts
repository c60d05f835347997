/** What an executor needs of its surroundings: the component's functions, and the user's. */
import type { Value } from "convex/values";
import type { Outcome, Taken } from "./validators.js";

export interface SettleReply {
  readonly dealt: number;
  readonly ended: boolean;
  readonly upTo?: number;
  readonly parked: boolean;
  readonly keep?: number;
}

export interface ExecutorPort {
  take(args: { token: string; upTo: number; room: number }): Promise<{
    readonly rows: readonly Taken[];
    readonly taken: number;
    readonly slots: number;
    readonly parked: boolean;
  } | null>;
  waiting(args: {
    token: string;
  }): Promise<{ upTo: number; parked: boolean; keep?: number } | null>;
  settle(args: {
    token: string;
    outcomes: Outcome[];
    settled: number;
    weight?: number;
    back?: Outcome["work"][];
    low: boolean;
    slots?: number;
    end: boolean;
  }): Promise<SettleReply | null>;
  call(fn: Taken["fn"], args: object): Promise<Value | undefined>;
}
