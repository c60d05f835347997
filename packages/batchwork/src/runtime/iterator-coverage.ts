/** What it takes to prove that no row was missed: the keys before, those visited, those after. */
import {
  addKeys,
  addSection,
  keyHash,
  NO_KEYS,
  packHashes,
  sameKeys,
  unpackHashes,
  VisitedKeys,
  type Comparison,
  type Section,
  type StepSpan,
} from "../core/coverage.ts";
import { pageSize, type JobState } from "../core/iterator-state.ts";
import type { Storage } from "../storage/storage.ts";
import type { KeyRange, OpenTable, TableKeys } from "../storage/tables.ts";
import { ON, type Change, type JobOwner, type Reading } from "./iterator-steps.ts";
import type { Page } from "./iterator-source.ts";

/** Keys that are read, and noted, at a time. */
const KEYS_PER_STEP = 5000;

/** Notes that are read at a time. */
const NOTES_PER_READ = 100;

/** Notes which keys there are. */
export class Census {
  readonly #table: OpenTable;

  constructor(table: OpenTable) {
    this.#table = table;
  }

  async step({ state, cursor, step }: JobOwner): Promise<Change> {
    const range = { after: cursor ?? state.from, to: state.to };
    const page = await this.#table.keys(range, KEYS_PER_STEP);
    const hashes = page.keys().map(keyHash);
    const last = hashes.length < KEYS_PER_STEP;
    const section: Section = {
      // What comes behind the last key belongs to the last section.
      to: last ? null : page.cursor,
      start: addKeys(NO_KEYS, hashes),
      visited: NO_KEYS,
      startNotes: { after: step, last: step + 1 },
      visitNotes: null,
    };
    const sections = addSection(state.sections, section);
    const phase = last ? "walk" : "census";
    return {
      state: { ...state, phase, sections, section: 0 },
      cursor: last ? null : page.cursor,
      move: ON,
      note: packHashes(hashes),
    };
  }
}

/** Where the section ends that the job is in. */
export function sectionEnd({ sections, section, to }: JobState): string | null {
  return sections[section]?.to ?? to;
}

/** A page of the walk, with its keys noted. It ends where its section ends. */
export function visited(before: JobState, page: Page): Reading {
  const last = before.section === before.sections.length - 1;
  const hashes = page.keys().map(keyHash);
  const behind = (state: JobState, step: number): { state: JobState; note?: string } => {
    const sections = state.sections.map((section, n) =>
      n === before.section && hashes.length > 0
        ? {
            ...section,
            visited: addKeys(section.visited, hashes),
            visitNotes: { after: section.visitNotes?.after ?? step - 1, last: step },
          }
        : section,
    );
    const section = page.done && !last ? state.section + 1 : state.section;
    return {
      state: { ...state, sections, section },
      ...(hashes.length === 0 ? {} : { note: packHashes(hashes) }),
    };
  };
  return { page, behind, last: page.done && last };
}

interface Compared {
  readonly page: TableKeys;
  readonly hashes: readonly number[];
  readonly found: Comparison;
  readonly done: boolean;
}

/** Compares what was visited with the table, section by section, and takes up the rest. */
export class Verification {
  readonly #table: OpenTable;
  readonly #storage: Storage;
  readonly #loop: number;
  /** Of the section that it is in. */
  #keys: VisitedKeys | undefined;
  #section = -1;

  constructor(table: OpenTable, storage: Storage, loop: number) {
    this.#table = table;
    this.#storage = storage;
    this.#loop = loop;
  }

  async next({ state, cursor, definition }: JobOwner): Promise<Reading> {
    const known = await this.#keysOf(state);
    const after = cursor ?? state.from;
    const range = { after, to: sectionEnd(state) };
    const size = pageSize(state, definition.limits);
    const { page, hashes, found, done } = await this.#compared(range, known, size);
    const last = done && state.section === state.sections.length - 1;
    const items = await this.#rows(
      range,
      page.cursor,
      found.unvisited.map((n) => hashes[n] ?? 0),
    );
    const behind = (given: JobState): { state: JobState } => {
      const atEnd = addKeys(given.atEnd ?? NO_KEYS, hashes);
      const { proof } = given;
      const counted = {
        ...proof,
        missed: proof.missed + found.missed,
        late: proof.late + found.late,
        atEnd: proof.atEnd + hashes.length,
      };
      if (!done) return { state: { ...given, atEnd, proof: counted } };
      const section = given.sections[given.section] as Section;
      const unchanged = sameKeys(section.start, section.visited) && sameKeys(section.start, atEnd);
      const closed = {
        ...counted,
        atStart: counted.atStart + section.start.count,
        visited: counted.visited + section.visited.count,
        repeated: counted.repeated + known.repeated,
        unchanged: counted.unchanged + (unchanged ? 1 : 0),
      };
      const next = last ? given.section : given.section + 1;
      return { state: { ...given, section: next, atEnd: null, proof: closed } };
    };
    return { page: { items, cursor: page.cursor ?? after, done, keys: () => [] }, behind, last };
  }

  /** Keys from the beginning of a range on, and at most `size` that were not visited. */
  async #compared(range: KeyRange, known: VisitedKeys, size: number): Promise<Compared> {
    let limit = KEYS_PER_STEP;
    for (;;) {
      const page = await this.#table.keys(range, limit);
      const hashes = page.keys().map(keyHash);
      const found = known.compare(hashes);
      const done = hashes.length < limit;
      const { unvisited } = found;
      if (unvisited.length <= size) return { page, hashes, found, done };
      // They are one page, and it ends with the last of them.
      limit = (unvisited[size - 1] as number) + 1;
    }
  }

  /** The rows that were not visited, as they are now. */
  async #rows(
    { after }: { readonly after: string | null },
    to: string | null,
    unvisited: readonly number[],
  ): Promise<unknown[]> {
    if (unvisited.length === 0) return [];
    const wanted = new Set(unvisited);
    // Some more than there were keys: others may have come in between.
    const { rows, keys } = await this.#table.rows({ after, to }, 2 * KEYS_PER_STEP);
    const texts = keys();
    return rows.filter((_row, n) => wanted.has(keyHash(texts[n] ?? "")));
  }

  async #keysOf({ section, sections }: JobState): Promise<VisitedKeys> {
    if (this.#keys !== undefined && this.#section === section) return this.#keys;
    const { startNotes, visitNotes } = sections[section] as Section;
    const start = await this.#read(startNotes);
    const visits = visitNotes === null ? [] : await this.#read(visitNotes);
    this.#keys = new VisitedKeys(start, visits);
    this.#section = section;
    return this.#keys;
  }

  async #read({ after, last }: StepSpan): Promise<number[]> {
    const hashes: number[] = [];
    let step = after;
    while (step < last) {
      const limit = Math.min(NOTES_PER_READ, last - step);
      const notes = await this.#storage.loops.notes({ loop: this.#loop, after: step, limit });
      if (notes.length === 0) break;
      for (const note of notes) {
        if (note.step <= last) for (const hash of unpackHashes(note.note)) hashes.push(hash);
        step = note.step;
      }
    }
    return hashes;
  }
}
