/**
 * What the processes of a storage agree on about its definitions: each proposes its own, follows
 * the one that counts, and says so once where it is another one.
 */
import { differences, type SharedDefinition } from "../core/definition.ts";
import type { Storage } from "../storage/storage.ts";
import type { Companion } from "./companions.ts";
import type { LandedChunk } from "./open-chunk.ts";
import { trouble } from "./observation.ts";
import type { Queue } from "./queue.ts";
import type { Surroundings } from "./surroundings.ts";

export class Definitions implements Companion {
  readonly #storage: Storage;
  readonly #around: Surroundings;
  readonly #queues: readonly Queue[];
  readonly #proposed = new Set<Queue>();
  /** What was warned of, by queue. */
  readonly #warned = new Map<Queue, string>();
  #looking: Promise<void> | undefined;

  /** `queues` may grow: those that are new are proposed when the storage is opened for them. */
  constructor(storage: Storage, around: Surroundings, queues: readonly Queue[]) {
    this.#storage = storage;
    this.#around = around;
    this.#queues = queues;
  }

  async ready(): Promise<void> {
    // Those that came while the storage was opened have no id yet: it is asked for them next.
    const queues = this.#queues.filter((queue) => queue.id > 0 && !this.#proposed.has(queue));
    if (queues.length === 0) return;
    const proposals = queues.map(({ id, definition }) => ({ queue: id, ...definition }));
    const agreements = await this.#storage.propose(proposals);
    for (const [n, { stored, before }] of agreements.entries()) {
      const queue = queues[n] as Queue;
      this.#proposed.add(queue);
      this.#follow(queue, stored);
      // A higher version is meant to be another one.
      if (before?.version === queue.definition.version) this.#warn(queue, before, "replaced");
    }
  }

  /** Another process may have proposed a newer one meanwhile. */
  beat(doubt: boolean): void {
    if (doubt) this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
  }

  async close(): Promise<void> {
    await this.#looking;
  }

  start(): void {
    // Proposed without a life of its own in the storage.
  }

  async tick(): Promise<void> {
    // It has no loop.
  }

  look(): void {
    // Nobody announces definitions.
  }

  landed(chunks: readonly LandedChunk[]): readonly LandedChunk[] {
    return chunks;
  }

  lose(): void {
    // It holds nothing.
  }

  async drain(): Promise<void> {
    // Nothing of it runs for long.
  }

  async #look(): Promise<void> {
    const queues = [...this.#proposed];
    try {
      const stored = await this.#storage.agreed(queues.map(({ id }) => id));
      for (const [n, definition] of stored.entries()) {
        if (definition !== null) this.#follow(queues[n] as Queue, definition);
      }
    } catch (error) {
      const message = "Asking for the definitions failed; they are asked for again.";
      trouble(this.#around, "warn", message, { error });
    }
  }

  #follow(queue: Queue, stored: SharedDefinition): void {
    // Of an older one only if somebody has put the storage back: what runs here is newer.
    if (stored.version < queue.definition.version) return;
    queue.follow(stored.settings);
    this.#warn(queue, stored, "followed");
  }

  /** Once for each other definition. */
  #warn(queue: Queue, other: SharedDefinition, what: "followed" | "replaced"): void {
    const options = differences(queue.definition.settings, other.settings);
    if (options.length === 0) return;
    const { version } = queue.definition;
    const key = `${what} ${other.version} ${options.join(" ")}`;
    if (this.#warned.get(queue) === key) return;
    this.#warned.set(queue, key);
    const message =
      what === "followed"
        ? "Another process defines this otherwise, and its definition counts here too: give " +
          "the one that is to count the highest version."
        : "This definition differs from what other processes had, and counts in all of them " +
          "from now on.";
    const fields = { name: queue.name, version, otherVersion: other.version, options };
    this.#around.logger.warn(message, fields);
  }
}
