/**
 * Group commit: all adds of a process that arrive while a commit is under way share the next one,
 * and each resolves only after its commit. One commit writes one chunk per queue and group, cut to
 * the chunk limits.
 */
import { BatchworkError } from "../core/errors.ts";
import type { AppendedChunk, NewChunk, Storage } from "../storage/storage.ts";
import { KeyedIntake } from "./keyed-intake.ts";
import { LimitedIntake } from "./limited-intake.ts";
import { OpenChunk, type ChunkQueue, type LandedChunk } from "./open-chunk.ts";
import type { Soon } from "./soon.ts";

/** What `add` resolves with. */
export interface AddResult {
  /** Id of the item: unique, never reused. */
  readonly id: string;
  /** True when an earlier add with the same idempotency key stored the item. */
  readonly duplicate: boolean;
}

/** One item, encoded (or as it is, where the storage keeps references), with its group. */
export interface IntakeItem {
  readonly group: string;
  readonly value: unknown;
  /** Bytes in UTF-8; 0 where nothing measures. */
  readonly bytes: number;
  /** For the texts of several items, joined: how many. The bytes are theirs alone. Default 1. */
  readonly count?: number;
  /** See `Deduplicated`. Of a definition, all items have one or none has. */
  readonly dedupKey?: string;
}

/** A commit grows no larger than this, so one burst does not block the event loop for seconds. */
const COMMIT_ITEMS_MAX = 20_000;
const COMMIT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Where an add need not wait for its commit, every so many do, so that callers that add in a loop
 * let others have a turn.
 */
const PACE_ITEMS = 256;

class Commit {
  readonly chunks: OpenChunk[] = [];
  readonly promise: Promise<void>;
  resolve!: () => void;
  reject!: (error: unknown) => void;
  items = 0;
  bytes = 0;
  readonly #open = new Map<ChunkQueue, Map<string, OpenChunk>>();
  /** Where the latest item went: most follow it, and then nothing has to be looked up. */
  #latest: OpenChunk | undefined;

  readonly #reserve: (() => number) | undefined;

  constructor(reserve?: () => number) {
    this.#reserve = reserve;
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Nobody may be waiting (the caller did not await): that is no unhandled rejection of ours.
    this.promise.catch(() => undefined);
  }

  /** Puts the item into the open chunk of its group and returns that chunk. */
  put(queue: ChunkQueue, group: string, value: unknown, bytes: number, count = 1): OpenChunk {
    this.items += count;
    this.bytes += bytes;
    let chunk = this.#latest;
    if (chunk?.queue !== queue || chunk.group !== group || !chunk.fits(bytes, count)) {
      chunk = this.#chunkFor(queue, group, bytes, count);
      this.#latest = chunk;
    }
    chunk.push(value, bytes, count);
    return chunk;
  }

  /** How many more items the open chunk of a group takes; 0 where there is none. */
  room(queue: ChunkQueue, group: string): number {
    return this.#open.get(queue)?.get(group)?.room ?? 0;
  }

  /** The open chunk of a group, or a new one where that has no room. */
  #chunkFor(queue: ChunkQueue, group: string, bytes: number, count: number): OpenChunk {
    let groups = this.#open.get(queue);
    if (groups === undefined) this.#open.set(queue, (groups = new Map<string, OpenChunk>()));
    let chunk = groups.get(group);
    if (chunk === undefined || !chunk.fits(bytes, count)) {
      chunk = new OpenChunk(queue, group);
      if (this.#reserve !== undefined) chunk.committed(this.#reserve());
      groups.set(group, chunk);
      this.chunks.push(chunk);
    }
    return chunk;
  }

  /** Puts several items; what comes back tells their results once they are in the storage. */
  putAll(queue: ChunkQueue, items: readonly IntakeItem[]): () => AddResult[] {
    // Two arrays, not an object an item: a bulk is paid for by what it leaves to collect.
    const places: OpenChunk["place"][] = [];
    const indices: number[] = [];
    for (const { group, value, bytes, count: added = 1, dedupKey } of items) {
      const chunk = this.put(queue, group, value, bytes, added);
      if (dedupKey !== undefined) chunk.hold(dedupKey);
      const { place, count } = chunk;
      for (let index = count - added; index < count; index++) {
        places.push(place);
        indices.push(index);
      }
    }
    return () =>
      places.map(({ prefix }, n) => ({ id: prefix + (indices[n] as number), duplicate: false }));
  }

  /** The chunks as the storage takes them. */
  sealed(payload: Storage["payload"], limited = true): NewChunk[] {
    return this.chunks.map((chunk) => chunk.sealed(payload, limited));
  }

  /** The chunks are in the storage, position by position. */
  appended(appended: readonly AppendedChunk[]): void {
    for (let n = 0; n < appended.length; n++) {
      (this.chunks[n] as OpenChunk).committed((appended[n] as AppendedChunk).id);
    }
  }
}

/** The intake of one storage. */
export class Intake {
  /** For items with idempotency keys. */
  readonly keyed: KeyedIntake;
  /** For queues that have a limit. */
  readonly limited: LimitedIntake;
  readonly #soon: Soon;
  readonly #reserve: (() => number) | undefined;
  readonly #storage: Storage;
  /** Resolves once the storage is open and the queues of the chunks have their ids. */
  readonly #ready: () => Promise<void>;
  readonly #appended: (chunks: readonly LandedChunk[]) => void;
  readonly #commits: Commit[] = [];
  /** The last of them: what the next item joins while there is room. */
  #newest: Commit | undefined;
  #committing = false;
  #last: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(
    soon: Soon,
    storage: Storage,
    ready: () => Promise<void>,
    news: (nth: number) => Promise<void>,
    appended: (chunks: readonly LandedChunk[]) => void,
  ) {
    this.#soon = soon;
    this.#storage = storage;
    const byReference = storage.payload === "reference";
    this.#reserve = byReference ? storage.reserve?.bind(storage) : undefined;
    this.#ready = ready;
    this.#appended = appended;
    this.keyed = new KeyedIntake(soon, storage, ready, news, appended);
    const newChunks = (): Commit => new Commit();
    this.limited = new LimitedIntake({ soon, storage, ready, appended, news, newChunks });
  }

  /**
   * Stores one item. Resolves after the commit; where the storage can reserve ids, as soon as the
   * process holds it. Throws synchronously when closed.
   */
  add(queue: ChunkQueue, group: string, value: unknown, bytes: number): Promise<AddResult> {
    const commit = this.#commit();
    const { place, count } = commit.put(queue, group, value, bytes);
    const index = count - 1;
    if (this.#reserve !== undefined && commit.items % PACE_ITEMS !== 0) {
      return Promise.resolve({ id: place.prefix + index, duplicate: false });
    }
    // Not an async function: that would cost one more promise for each item.
    return commit.promise.then(() => ({ id: place.prefix + index, duplicate: false }));
  }

  /** How many items of a group that come next share a chunk with what came before. */
  room(queue: ChunkQueue, group: string): number {
    return this.#newest?.room(queue, group) ?? 0;
  }

  /** Stores several items in one commit: all of them or none. */
  async addBulk(queue: ChunkQueue, items: readonly IntakeItem[]): Promise<AddResult[]> {
    if (items.length === 0) return [];
    const commit = this.#commit();
    const results = commit.putAll(queue, items);
    await commit.promise;
    return results();
  }

  /** Stores items inside the caller's open transaction, before it returns: all of them or none. */
  addInside(queue: ChunkQueue, items: readonly IntakeItem[], tx: unknown): AddResult[] {
    this.#refuseWhenClosed();
    if (items.length === 0) return [];
    const commit = new Commit();
    const results = commit.putAll(queue, items);
    const chunks = commit.sealed(this.#storage.payload);
    commit.appended(this.#storage.appendInside(tx, chunks));
    return results();
  }

  /** The same, asynchronously. Resolves when the items are in the caller's transaction. */
  async addWithin(
    queue: ChunkQueue,
    items: readonly IntakeItem[],
    tx: unknown,
  ): Promise<AddResult[]> {
    this.#refuseWhenClosed();
    if (items.length === 0) return [];
    await this.#ready();
    const commit = new Commit();
    const results = commit.putAll(queue, items);
    const chunks = commit.sealed(this.#storage.payload);
    commit.appended(await this.#storage.appendWithin(tx, chunks));
    return results();
  }

  /** Resolves when everything that was added before is committed, or has been rejected. */
  async settled(): Promise<void> {
    while (this.#commits.length > 0 || this.#committing) {
      const last = this.#commits.at(-1)?.promise ?? this.#last;
      await last.catch(() => undefined);
    }
    await this.limited.settled();
    await this.keyed.settled();
  }

  /** Takes no new items; what was taken still commits. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.settled(), this.limited.close(), this.keyed.close()]);
  }

  #refuseWhenClosed(): void {
    if (!this.#closed) return;
    throw new BatchworkError("STOPPED", "The engine is stopped: the item was not stored.");
  }

  /** The commit that the next item joins. */
  #commit(): Commit {
    this.#refuseWhenClosed();
    const newest = this.#newest;
    if (
      newest !== undefined &&
      newest.items < COMMIT_ITEMS_MAX &&
      newest.bytes < COMMIT_BYTES_MAX
    ) {
      return newest;
    }
    const commit = new Commit(this.#reserve);
    this.#newest = commit;
    this.#commits.push(commit);
    if (!this.#committing && this.#commits.length === 1) this.#schedule();
    return commit;
  }

  #schedule(): void {
    this.#soon.run(() => void this.#run());
  }

  async #run(): Promise<void> {
    const commit = this.#commits.shift();
    if (commit === undefined) return;
    if (this.#newest === commit) this.#newest = undefined;
    this.#committing = true;
    this.#last = commit.promise;
    try {
      await this.#ready();
      // A limit that came up since would fail all that share the commit: it holds from the next on.
      const chunks = commit.sealed(this.#storage.payload, false);
      commit.appended(await this.#storage.append(chunks));
      this.#appended(commit.chunks);
      commit.resolve();
    } catch (error) {
      commit.reject(error);
    } finally {
      this.#committing = false;
      // Those who were waiting add again before the next commit starts, so it carries them all.
      if (this.#commits.length > 0) this.#schedule();
    }
  }
}
