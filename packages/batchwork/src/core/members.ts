/**
 * Which items of which chunks make up a batch. A batch never copies items: it names positions in
 * chunks, so splitting and retrying move no payload, and an item keeps its id (chunk, index).
 */

/** Items of one chunk, in ascending order of index. */
export interface Member {
  readonly chunk: number;
  /** Indices in the chunk: a run, or a list where the items do not follow one another. */
  readonly items: Run | readonly number[];
  /** True when these are all the items of the chunk, so finishing them frees it at once. */
  readonly whole: boolean;
  /** The ids of the items, where they were moved to this chunk and kept the ids they had before. */
  readonly ids?: readonly string[];
}

/** `count` consecutive indices from `from`. */
export interface Run {
  readonly from: number;
  readonly count: number;
}

/** How many items a member names. */
export function memberCount(member: Member): number {
  return isRun(member.items) ? member.items.count : member.items.length;
}

/** How many items these members name together. */
export function itemCount(members: readonly Member[]): number {
  let count = 0;
  for (const member of members) count += memberCount(member);
  return count;
}

/** True for a run of consecutive indices. */
export function isRun(items: Run | readonly number[]): items is Run {
  return "from" in items;
}

/** The index in its chunk of the `n`-th item of a member. */
export function indexAt(member: Member, n: number): number {
  return isRun(member.items) ? member.items.from + n : (member.items[n] as number);
}

/** The id of an item: unique, never reused, the same in every batch that ever carries the item. */
export function itemId(chunk: number, index: number): string {
  return itemIdPrefix(chunk) + index;
}

/** What the ids of all items of a chunk begin with; the index follows. */
export function itemIdPrefix(chunk: number): string {
  return `${chunk}:`;
}

/** The id of the `n`-th item of a member. */
export function idAt(member: Member, n: number): string {
  return member.ids?.[n] ?? itemId(member.chunk, indexAt(member, n));
}

/** The inverse of {@link itemId}. */
export function placeOf(id: string): { readonly chunk: number; readonly index: number } {
  const [chunk, index] = id.split(":");
  return { chunk: Number(chunk), index: Number(index) };
}

/** The same for text that may be no id at all; `null` for that. */
export function knownPlaceOf(id: string): ReturnType<typeof placeOf> | null {
  return /^[1-9]\d{0,14}:\d{1,9}$/.test(id) ? placeOf(id) : null;
}

/** The ids of all items of a batch, in batch order. */
export function itemIds(members: readonly Member[]): string[] {
  const ids: string[] = [];
  for (const member of members) {
    const count = memberCount(member);
    for (let n = 0; n < count; n++) ids.push(idAt(member, n));
  }
  return ids;
}

/**
 * The members that carry the items at these positions of a batch (ascending, without repeats).
 * A member is `whole` in the result only where it was whole before and nothing of it is left out.
 */
export function selectMembers(members: readonly Member[], positions: readonly number[]): Member[] {
  const selected: Member[] = [];
  let start = 0;
  let next = 0;
  for (const member of members) {
    const end = start + memberCount(member);
    const indices: number[] = [];
    const ids: string[] = [];
    while (next < positions.length && (positions[next] as number) < end) {
      const n = (positions[next] as number) - start;
      indices.push(indexAt(member, n));
      if (member.ids !== undefined) ids.push(idAt(member, n));
      next++;
    }
    if (indices.length > 0) {
      const whole = member.whole && indices.length === end - start;
      const part = { chunk: member.chunk, items: compact(indices), whole };
      selected.push(member.ids === undefined ? part : { ...part, ids });
    }
    start = end;
  }
  return selected;
}

/** A list of ascending indices as a run where it is one. */
export function compact(indices: readonly number[]): Run | readonly number[] {
  const from = indices[0] as number;
  const last = indices.at(-1) as number;
  return last - from + 1 === indices.length ? { from, count: indices.length } : indices;
}

type Packed =
  | readonly [number, number, number, 0 | 1]
  | readonly [number, readonly number[], 0 | 1]
  | readonly [number, Run | readonly number[], 0 | 1, "ids", readonly string[]];

/** Members as the compact text that storages keep. */
export function packMembers(members: readonly Member[]): string {
  return JSON.stringify(
    members.map(({ chunk, items, whole, ids }): Packed => {
      const flag = whole ? 1 : 0;
      if (ids !== undefined) return [chunk, items, flag, "ids", ids];
      return isRun(items) ? [chunk, items.from, items.count, flag] : [chunk, items, flag];
    }),
  );
}

/** The inverse of {@link packMembers}. */
export function unpackMembers(text: string): Member[] {
  return (JSON.parse(text) as Packed[]).map((packed): Member => {
    if (packed.length === 5) {
      const [chunk, items, flag, , ids] = packed;
      return { chunk, items, whole: flag === 1, ids };
    }
    if (packed.length === 4) {
      const [chunk, from, count, flag] = packed;
      return { chunk, items: { from, count }, whole: flag === 1 };
    }
    const [chunk, items, flag] = packed;
    return { chunk, items, whole: flag === 1 };
  });
}
