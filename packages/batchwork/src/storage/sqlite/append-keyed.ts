/** Appending items with idempotency keys. */
import { joinItems } from "../../core/codec.ts";
import {
  appendKeyed as carryOut,
  type HeldKey,
  type KeyedAnswer,
  type KeyedAppend,
} from "../../core/keyed.ts";
import type { AppendedChunk } from "../storage.ts";
import { append } from "./intake.ts";
import { forgetKeys } from "./keys.ts";
import { roomOfQueue } from "./pending.ts";
import type { IntakeStatements } from "./prepared.ts";
import type { Transaction } from "./transaction.ts";

/** A row of `batchwork_keys`, as far as an append looks at it. */
interface KeyRow {
  readonly chunk: number;
  readonly idx: number;
  readonly digest: string;
}

/** Keys that a keyed append forgets at most for each item it is given. */
const FORGOTTEN_PER_ITEM = 2;

/** Appends what is new. */
export function appendKeyed(
  tx: Transaction<IntakeStatements>,
  request: KeyedAppend,
): KeyedAnswer[] {
  const { sql, now } = tx;
  let marked = 0;
  return carryOut(request, {
    now,
    find: (queue, key) => {
      const row = sql.findKey.get(queue, key, now) as KeyRow | undefined;
      return row && { chunk: row.chunk, index: row.idx, digest: row.digest };
    },
    room: (queue, limit) => roomOfQueue(sql, queue, limit),
    append: ({ queue, group, dueInMs }, items) => {
      let bytes = 0;
      for (const item of items) bytes += item.bytes;
      const payload = joinItems(items.map(({ value }) => value as string));
      const chunk = { queue, group, count: items.length, bytes, payload, dueInMs };
      const [appended] = append(tx, [chunk]);
      return (appended as AppendedChunk).id;
    },
    hold: ({ queue, keyTtlMs }, key, { chunk, index, digest }: HeldKey) => {
      const ttlMs = keyTtlMs === Number.POSITIVE_INFINITY ? null : keyTtlMs;
      sql.holdKey.run(queue, key, chunk, index, digest, ttlMs);
      // Often the same chunk many times in a row.
      if (marked !== chunk) sql.markKeyed.run(chunk);
      marked = chunk;
    },
  });
}

/** The same, and clears up more than it leaves. */
export function appendAndForget(tx: Transaction, request: KeyedAppend): KeyedAnswer[] {
  const answers = appendKeyed(tx, request);
  forgetKeys(tx, FORGOTTEN_PER_ITEM * request.items.length);
  return answers;
}
