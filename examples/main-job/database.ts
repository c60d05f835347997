/** What the job keeps in a database besides its queue, wherever that is. */
import type { Batch, BatchContext, Storage } from "batchwork";
import type { City } from "./source.ts";

/** The database of the job, with its tables made. */
export interface Database {
  /** What the engine is given; nothing else of the engine's use differs. */
  readonly storage: Storage;
  /** Where the producer goes on. */
  position(): Promise<number>;
  /**
   * Adds a page and moves the position, both or neither: a producer that was killed goes on exactly
   * where its last commit ended.
   */
  addPage(cities: Batch<City>, page: readonly City[], position: number): Promise<void>;
  /**
   * Writes the rows of a batch. They and its acknowledgement commit together, or neither does.
   * `written` is called inside of the transaction.
   */
  insert(ctx: BatchContext<City>, written: () => void): Promise<void>;
  countCities(): Promise<number>;
  countDistinct(): Promise<number>;
  countPerCountry(): Promise<ReadonlyMap<string, number>>;
  /** To be called once the engine has stopped. */
  close(): Promise<void>;
}

/** Opens the database and makes the tables that are not there. */
export type OpenDatabase = () => Promise<Database>;
