/** Short words for keyed appends. */
import assert from "node:assert/strict";

import type { KeyedAnswer, KeyedAppend, KeyedItem } from "../../core/keyed.ts";
import { itemId } from "../../core/members.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Fixture } from "./fixture.ts";

/** Items by key, in order; `null` stands for an item without one. */
export type Keyed = readonly (readonly [key: string | null, item: unknown])[];

export interface KeyedInto {
  readonly group?: string;
  readonly dueInMs?: number;
  readonly keyTtlMs?: number;
}

/** Keys last this long unless a case says otherwise. */
export const TTL_MS = 60_000;

/** An append of these calls, all into one chunk. */
export function keyedAppend(
  queue: number,
  calls: readonly Keyed[],
  { group = "", dueInMs = 0, keyTtlMs = TTL_MS }: KeyedInto = {},
  payload: Storage["payload"] = "text",
): KeyedAppend {
  const items = calls.flatMap((call, n) =>
    call.map(([key, item]): KeyedItem => {
      const digest = JSON.stringify(item);
      const value = payload === "text" ? digest : item;
      return { call: n, chunk: 0, key, digest, value, bytes: Buffer.byteLength(digest) };
    }),
  );
  return { chunks: [{ queue, group, dueInMs, keyTtlMs }], items };
}

/** Appends calls with keys. */
export async function addCalls(
  t: Fixture,
  queue: number,
  calls: readonly Keyed[],
  into?: KeyedInto,
  storage: Storage = t.storage,
): Promise<KeyedAnswer[]> {
  return storage.appendKeyed(keyedAppend(queue, calls, into, storage.payload));
}

/** Appends one call that must be stored; answers with the ids, a duplicate's with an `=` before. */
export async function addKeyed(
  t: Fixture,
  queue: number,
  call: Keyed,
  into?: KeyedInto,
): Promise<string[]> {
  const [answer] = await addCalls(t, queue, [call], into);
  return idsOf(answer);
}

/** The ids of a call that was stored; that of a duplicate has an `=` before it. */
export function idsOf(answer: KeyedAnswer | undefined): string[] {
  assert.ok(answer?.kind === "stored", `stored, not ${answer?.kind ?? "unanswered"}`);
  return answer.places.map(({ chunk, index, duplicate }) => {
    return `${duplicate ? "=" : ""}${itemId(chunk, index)}`;
  });
}

/** True when the key is held. Stores nothing: the call is refused in any case. */
export async function isHeld(t: Fixture, queue: number, key: string): Promise<boolean> {
  const { payload } = t.storage;
  const other = await t.queue("never claimed");
  const into = { keyTtlMs: Number.POSITIVE_INFINITY };
  await t.storage.appendKeyed(keyedAppend(other, [[["held", 1]]], into, payload));
  const probe = keyedAppend(queue, [[[key, { probe: key }]]], {}, payload);
  const refused = keyedAppend(other, [[["held", 2]]], {}, payload);
  const items = [...probe.items, ...refused.items.map((item) => ({ ...item, chunk: 1 }))];
  const chunks = [...probe.chunks, ...refused.chunks];
  const [answer] = await t.storage.appendKeyed({ chunks, items });
  assert.ok(answer?.kind === "conflict", "the probe is refused");
  return answer.key === key;
}

/** Checks that the key is held for exactly so long from now on. */
export async function heldFor(t: Fixture, queue: number, key: string, ms: number): Promise<void> {
  await t.pass(ms - 1);
  assert.ok(await isHeld(t, queue, key), `${key} is still held after ${ms - 1} ms`);
  await t.pass(1);
  assert.ok(!(await isHeld(t, queue, key)), `${key} is held no longer after ${ms} ms`);
}
