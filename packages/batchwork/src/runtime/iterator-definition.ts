/** One iterator inside an engine: its options, and what its jobs work with. */
import { joinItems } from "../core/codec.ts";
import { BatchworkError } from "../core/errors.ts";
import { CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX, chunkEnd } from "../core/limits.ts";
import type { PageLimits } from "../core/iterator-state.ts";
import type { ResolvedIteratorOptions } from "../core/iterator-options.ts";
import type { NewChunk, QueueCounts, Storage } from "../storage/storage.ts";
import type { OpenTable } from "../storage/tables.ts";
import type { Entrance } from "./entrance.ts";
import type { IteratorOptions } from "./iterator-options.ts";
import { functionReader, IterableReader, tableReader, type PageReader } from "./iterator-source.ts";
import type { Queue } from "./queue.ts";
import type { Surroundings } from "./surroundings.ts";

/** The kind of a job's own loop, and of the loops of its partitions. */
export const JOB_KIND = "iterator";
export const RANGE_KIND = "iterator-range";

/** The first attempt of an item that failed on its page comes after this, ms. */
const RETRY_APART_MS = 1000;

/** What an {@link IteratorDefinition} is made of. */
export interface DefinitionParts {
  readonly options: ResolvedIteratorOptions;
  readonly given: IteratorOptions<unknown>;
  readonly storage: Storage;
  readonly around: Surroundings;
  /** Where items go that failed on their page. */
  readonly queue: Queue;
  readonly entrance: Entrance<unknown>;
  readonly ready: () => Promise<void>;
  /** Has this process, and others, look for loops and for items to be retried. */
  readonly wake: () => void;
}

export class IteratorDefinition {
  readonly options: ResolvedIteratorOptions;
  readonly given: IteratorOptions<unknown>;
  readonly storage: Storage;
  readonly around: Surroundings;
  readonly queue: Queue;
  /** Resolves once the storage is open. */
  readonly ready: () => Promise<void>;
  readonly wake: () => void;
  readonly #entrance: Entrance<unknown>;

  constructor(parts: DefinitionParts) {
    this.options = parts.options;
    this.given = parts.given;
    this.storage = parts.storage;
    this.around = parts.around;
    this.queue = parts.queue;
    this.ready = parts.ready;
    this.wake = parts.wake;
    this.#entrance = parts.entrance;
  }

  get name(): string {
    return this.options.name;
  }

  get limits(): PageLimits {
    return this.options;
  }

  /** The table to walk through; `null` where items come from elsewhere. */
  async table(): Promise<OpenTable | null> {
    const { source } = this.given;
    if (source?.kind !== "table") return null;
    const { tables } = this.storage;
    if (tables !== undefined) return tables.open(source.query);
    const message =
      `Iterator "${this.name}" reads the table "${source.query.table}", and this storage has no ` +
      "tables: use sqlite or postgres on the table's database, or getNextBatch.";
    throw new BatchworkError("TX_UNSUPPORTED", message, { field: "source" });
  }

  /** Items of a job that are retried apart, and those that are dead. */
  async counts(jobId: string): Promise<QueueCounts> {
    await this.ready();
    return this.storage.counts(this.queue.id, jobId);
  }

  /** Reads pages for one owner. */
  reader(table: OpenTable | null): PageReader {
    if (table !== null) return tableReader(table);
    const { source, getNextBatch } = this.given;
    if (source?.kind === "iterable") return new IterableReader(source);
    return functionReader(getNextBatch as NonNullable<typeof getNextBatch>);
  }

  /** The items of a job as chunks of the queue for what is retried apart. */
  chunksOf(jobId: string, items: readonly unknown[]): NewChunk[] {
    const accepted = items.map((item) => this.#entrance.accept(plain(item)));
    const sizes = accepted.map(({ bytes }) => bytes);
    const chunks: NewChunk[] = [];
    for (let from = 0; from < accepted.length;) {
      const end = chunkEnd(sizes, from, { items: CHUNK_ITEMS_MAX, bytes: CHUNK_BYTES_MAX });
      const part = accepted.slice(from, end);
      const values = part.map(({ value }) => value);
      chunks.push({
        queue: this.queue.id,
        group: jobId,
        count: part.length,
        bytes: part.reduce((sum, { bytes }) => sum + bytes, 0),
        payload: this.storage.payload === "text" ? joinItems(values as string[]) : values,
        dueInMs: RETRY_APART_MS,
      });
      from = end;
    }
    return chunks;
  }
}

/** Rows of some drivers have no prototype, which an item has to have. */
function plain(item: unknown): unknown {
  if (typeof item !== "object" || item === null) return item;
  return Object.getPrototypeOf(item) === null ? { ...item } : item;
}
