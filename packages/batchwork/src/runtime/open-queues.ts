/** Opens a storage and finds out what its queues are called there. */
import type { Storage } from "../storage/storage.ts";
import type { Queue } from "./queue.ts";
import type { Surroundings } from "./surroundings.ts";

/** Gives each queue its id. `announced` hears what other processes announce. */
export async function openQueues(
  storage: Storage,
  { clock, logger }: Surroundings,
  queues: readonly Queue[],
  announced: (ms: number) => void,
): Promise<void> {
  const warn = (message: string, fields: Record<string, unknown>): void =>
    logger.warn(message, fields);
  await storage.open({ clock, announced, warn });
  const definitions = queues.map(({ name, onDead }) => ({ name, notify: onDead !== undefined }));
  const defined = await storage.define(definitions);
  for (let n = 0; n < queues.length; n++) {
    (queues[n] as Queue).id = (defined[n] as { readonly id: number }).id;
  }
}
