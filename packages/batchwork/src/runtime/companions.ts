/** What works on a storage beside the batches: it is started, told and stopped with them. */
import type { LandedChunk } from "./open-chunk.ts";

/** Every so many beats the leases are compared with those stored, doubt or not. */
export const RECONCILE_BEATS = 6;

export interface Companion {
  /** The storage is open, or there are new definitions: says what it has to say of them. */
  ready(): Promise<void>;
  /** An incarnation has begun. */
  start(): void;
  /** One turn of its loop, at once. */
  tick(): Promise<void>;
  /** There may be something to do; in `ms` as far as another process told. */
  look(ms?: number): void;
  /** Takes what was committed for it; returns the rest. */
  landed(chunks: readonly LandedChunk[]): readonly LandedChunk[];
  /** What runs no longer counts. */
  lose(code: "LEASE_LOST" | "STOPPED", message: string): void;
  /** A beat has passed; with `doubt`, leases are to be compared with those stored. */
  beat(doubt: boolean): void;
  /** True while something runs, or would start by itself within that time. Default: never. */
  unfinished?(withinMs: number): Promise<boolean>;
  /** Begins nothing more; resolves when what runs has ended, or `graceMs` passed. */
  drain(graceMs: number): Promise<void>;
  /** Ends. What it still holds is given back after it. */
  close(): Promise<void>;
}

/** All of them as one. */
export class Companions implements Companion {
  readonly #all: Companion[] = [];

  add(companion: Companion): void {
    this.#all.push(companion);
  }

  async ready(): Promise<void> {
    for (const one of this.#all) await one.ready();
  }

  start(): void {
    for (const one of this.#all) one.start();
  }

  async tick(): Promise<void> {
    await Promise.all(this.#all.map(async (one) => one.tick()));
  }

  look(ms?: number): void {
    for (const one of this.#all) one.look(ms);
  }

  landed(chunks: readonly LandedChunk[]): readonly LandedChunk[] {
    let rest = chunks;
    for (const one of this.#all) rest = one.landed(rest);
    return rest;
  }

  lose(code: "LEASE_LOST" | "STOPPED", message: string): void {
    for (const one of this.#all) one.lose(code, message);
  }

  beat(doubt: boolean): void {
    for (const one of this.#all) one.beat(doubt);
  }

  async unfinished(withinMs: number): Promise<boolean> {
    for (const one of this.#all) if ((await one.unfinished?.(withinMs)) === true) return true;
    return false;
  }

  async drain(graceMs: number): Promise<void> {
    await Promise.all(this.#all.map(async (one) => one.drain(graceMs)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map(async (one) => one.close()));
  }
}
