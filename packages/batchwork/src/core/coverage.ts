/**
 * The proof that a walk through a table missed nothing: which keys there were at its start, which
 * it visited, and which there are at its end, as counts and sums of hashes that do not depend on
 * any order.
 */

/** A set of keys in short. Two are equal when the sets are, but for one chance in 2^53. */
export interface KeyTally {
  readonly count: number;
  /** Sums of the two parts of the hashes, each modulo 2^32. */
  readonly high: number;
  readonly low: number;
}

export const NO_KEYS: KeyTally = Object.freeze({ count: 0, high: 0, low: 0 });

/** The bits of a hash above the low 32: with them it is a whole number that a double holds. */
const HIGH_BITS = 21;
const LOW_RANGE = 2 ** 32;

/** A hash of 53 bits. */
export function keyHash(text: string): number {
  // Two multiplicative hashes with different primes, mixed into each other at the end.
  let a = 0x9e3779b9;
  let b = 0x85ebca6b;
  for (let n = 0; n < text.length; n++) {
    const code = text.charCodeAt(n);
    a = Math.imul(a ^ code, 0x27d4eb2f);
    b = Math.imul(b ^ code, 0x165667b1);
    a = (a << 13) | (a >>> 19);
    b = (b << 11) | (b >>> 21);
  }
  a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d) ^ Math.imul(b ^ (b >>> 13), 0x297a2d39);
  b = Math.imul(b ^ (b >>> 16), 0x2c1b3c6d) ^ Math.imul(a ^ (a >>> 14), 0x297a2d39);
  return (b >>> (32 - HIGH_BITS)) * LOW_RANGE + (a >>> 0);
}

/** The tally with these hashes added. */
export function addKeys(tally: KeyTally, hashes: readonly number[]): KeyTally {
  let { high, low } = tally;
  for (const hash of hashes) {
    high = (high + Math.floor(hash / LOW_RANGE)) >>> 0;
    // Only the low bits: with the others the sum may be no whole number any more.
    low = (low + (hash >>> 0)) >>> 0;
  }
  return { count: tally.count + hashes.length, high, low };
}

/** The tally of both together. */
export function joinTallies(one: KeyTally, other: KeyTally): KeyTally {
  return {
    count: one.count + other.count,
    high: (one.high + other.high) >>> 0,
    low: (one.low + other.low) >>> 0,
  };
}

export function sameKeys(one: KeyTally, other: KeyTally): boolean {
  return one.count === other.count && one.high === other.high && one.low === other.low;
}

/** Hashes as text; about eleven characters each. */
export function packHashes(hashes: readonly number[]): string {
  return hashes.map((hash) => hash.toString(36)).join(" ");
}

export function unpackHashes(text: string): number[] {
  return text === "" ? [] : text.split(" ").map((one) => Number.parseInt(one, 36));
}

/** What became of the rows of a range. */
export interface Comparison {
  /** Rows there now that were visited. */
  readonly visited: number;
  /** There at the start and now, and never visited: the walk went wrong. */
  readonly missed: number;
  /** Not there at the start, and not visited: they came behind the walk. */
  readonly late: number;
  /** Which of the keys given were not visited, by position. */
  readonly unvisited: readonly number[];
}

/** Whether keys were visited, one by one. */
export class VisitedKeys {
  readonly #start: ReadonlySet<number>;
  readonly #visited: ReadonlySet<number>;
  /** Visits beyond the first of a key. */
  readonly repeated: number;

  constructor(start: readonly number[], visits: readonly number[]) {
    this.#start = new Set(start);
    this.#visited = new Set(visits);
    this.repeated = visits.length - this.#visited.size;
  }

  compare(hashes: readonly number[]): Comparison {
    const unvisited: number[] = [];
    let missed = 0;
    for (const [position, hash] of hashes.entries()) {
      if (this.#visited.has(hash)) continue;
      unvisited.push(position);
      if (this.#start.has(hash)) missed++;
    }
    const visited = hashes.length - unvisited.length;
    return { visited, missed, late: unvisited.length - missed, unvisited };
  }
}

/** One range of keys, between the end of the one before it and its own. */
export interface Section {
  /** Cursor of its last key; `null` for the last section, which has no end. */
  readonly to: string | null;
  /** Keys at the start, and visited since. */
  readonly start: KeyTally;
  readonly visited: KeyTally;
  /** The notes that hold the hashes, by the steps after and up to which they were written. */
  readonly startNotes: StepSpan;
  readonly visitNotes: StepSpan | null;
}

/** Steps after `after`, up to and with `last`. */
export interface StepSpan {
  readonly after: number;
  readonly last: number;
}

/** Most sections: the tallies are written with every page. */
export const SECTIONS_MAX = 32;

/** Adds a section behind the others, and joins neighbours where there are too many of them. */
export function addSection(sections: readonly Section[], next: Section): Section[] {
  const all = [...sections, next];
  return all.length > SECTIONS_MAX ? joinPairs(all) : all;
}

/** The first with the second, the third with the fourth, and so on. Nothing is visited yet. */
function joinPairs(sections: readonly Section[]): Section[] {
  const joined: Section[] = [];
  for (let n = 0; n < sections.length; n += 2) {
    const [first, second] = sections.slice(n, n + 2) as [Section, Section | undefined];
    joined.push(
      second === undefined
        ? first
        : {
            to: second.to,
            start: joinTallies(first.start, second.start),
            visited: joinTallies(first.visited, second.visited),
            startNotes: { after: first.startNotes.after, last: second.startNotes.last },
            visitNotes: null,
          },
    );
  }
  return joined;
}
