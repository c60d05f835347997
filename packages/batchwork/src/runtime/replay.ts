/** Handing the items of a kept batch over again. */
import { BatchworkError } from "../core/errors.ts";
import { batchNumber } from "./history.ts";
import type { Queue } from "./queue.ts";
import type { Runner } from "./runner.ts";

/** What `batch.replay` resolves with. */
export interface Replayed {
  /** The new batch; its `parentId` in the history is the batch that was replayed. */
  readonly batchId: string;
}

/** Asks the storage. */
export async function replayed(runner: Runner, queue: Queue, batchId: string): Promise<Replayed> {
  const batch = batchNumber("batchId", batchId);
  await runner.ready();
  const id = await runner.storage.replay(queue.id, batch);
  if (id === null) {
    const message =
      `No batch ${batchId} of "${queue.name}" is kept with its items: removeOnComplete says how ` +
      "many are, and for how long; those with failed items never are.";
    throw new BatchworkError("NOT_KEPT", message, { field: "batchId", value: batchId });
  }
  runner.wake();
  return { batchId: String(id) };
}
