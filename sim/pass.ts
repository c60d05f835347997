/** Lets time pass in the world, and looks whether everything still holds. */
import type { Storage } from "batchwork";
import { audit, checkInTime, checkStep } from "./checks.ts";
import type { World } from "./world.ts";

/** Time passes; throws the first broken promise. */
export async function pass(world: World, ms: number): Promise<void> {
  const { ledger, scheduler } = world;
  // What was called outside an event is done before time passes.
  await scheduler.rest();
  stopAtViolation(world);
  await scheduler.pass(ms, () => {
    if (ledger.violation !== null) throw ledger.violation;
  });
  checkStep(world);
  if (world.plan.calm) checkInTime(world);
  stopAtViolation(world);
}

/** Asks the storage itself. */
export async function check(world: World, auditor: Storage): Promise<void> {
  await audit(world, auditor);
  stopAtViolation(world);
}

function stopAtViolation({ ledger }: World): void {
  if (ledger.violation !== null) throw ledger.violation;
}
