/** Leaving out items of a group whose key another one of it holds. */
import { memberCount, type Member, indexAt } from "../../core/members.ts";
import type { Group } from "./group.ts";
import { itemSizes } from "./payload.ts";
import type { Chunk } from "./waiting.ts";

/** Has the chunk's items hold their keys. False when all of them are left out. */
export function holdKeys({ heldKeys }: Group, chunk: Chunk): boolean {
  if (chunk.dedupKeys === null) return true;
  const kept: number[] = [];
  for (const [index, key] of chunk.dedupKeys.entries()) {
    if (heldKeys.has(key)) continue;
    heldKeys.add(key);
    kept.push(index);
  }
  if (kept.length === chunk.count) return true;
  const sizes = itemSizes(chunk);
  chunk.kept = kept;
  chunk.bytes = 0;
  for (const index of kept) chunk.bytes += sizes[index] as number;
  return kept.length > 0;
}

/** The items of the member are sealed. */
export function releaseKeys({ heldKeys }: Group, { dedupKeys }: Chunk, member: Member): void {
  if (dedupKeys === null) return;
  const count = memberCount(member);
  for (let n = 0; n < count; n++) heldKeys.delete(dedupKeys[indexAt(member, n)] as string);
}
