/** Definitions of pools. */
import type { PoolDefinition } from "../pools.ts";
import type { Scene } from "./pool-ends.ts";
import { Pool } from "./pool.ts";
import type { Queue } from "./queue.ts";

export function definePool({ data, now }: Scene, definition: PoolDefinition): void {
  const { callbacks, resultTtlMs } = definition;
  const queue = data.queue(definition.queue);
  if (callbacks !== null) data.queue(callbacks);
  if (queue.pool === null) {
    queue.pool = new Pool(data, queue.id);
    takeOver(queue, queue.pool, now);
  }
  queue.pool.callbacks = callbacks;
  queue.pool.resultTtlMs = resultTtlMs;
}

/** What was appended before is in groups, as items of batches are. */
function takeOver(queue: Queue, pool: Pool, now: number): void {
  for (const group of queue.groups.values()) {
    const { waiting, name } = group;
    for (let chunk = waiting.first; chunk !== undefined; chunk = waiting.first) {
      waiting.take(chunk.count, chunk.bytes);
      pool.append(name, chunk, now);
    }
    group.requeue(now);
  }
  queue.groups.clear();
}
