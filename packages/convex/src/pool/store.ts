/** Storing items: payload rows of limited size, and the work rows that stand for them. */
import { ConvexError, v } from "convex/values";
import { present } from "../base/fields.js";
import { vValue } from "../base/values.js";
import { ITEM_BYTES_MAX, bytesOf, packChunks } from "../base/sizes.js";
import type { MutationCtx } from "./_generated/server.js";
import { DELAY_MS_MAX, GROUP_MAX, KEY_CHARACTERS_MAX } from "./limits.js";
import { vFunction, vOnComplete, vRetry } from "./validators.js";

export const vTask = v.object({
  fn: vFunction,
  items: v.array(vValue),
  contexts: v.optional(v.array(vValue)),
  onComplete: v.optional(vOnComplete),
  retry: v.optional(vRetry),
  keepMs: v.optional(v.number()),
  isolate: v.optional(v.boolean()),
  /** The items are lost rather than run twice, when a run ends without a word. */
  once: v.optional(v.boolean()),
  runAt: v.optional(v.number()),
  pool: v.optional(v.string()),
  /** Items of a key run one after another. */
  key: v.optional(v.string()),
  deadMs: v.optional(v.number()),
  priority: v.optional(v.number()),
});

export type Task = (typeof vTask)["type"];

/** Stores the items of a task. Returns their ids. */
export async function store(ctx: MutationCtx, task: Task): Promise<string[]> {
  const { fn, items, contexts, onComplete, retry, keepMs, deadMs, isolate } = task;
  const fields = present({ onComplete, retry, keepMs, deadMs, isolate });
  const { pool = "", priority = 0, once = false } = task;
  const shared = contexts?.length === 1 ? bytesOf(contexts[0]) : 0;
  const isShared = contexts === undefined || contexts.length === 1;
  const sizes = items.map((args: unknown, i) => {
    const context = isShared ? shared : bytesOf(contexts[i]);
    return sizeOf(bytesOf(args), context, i) - (isShared ? shared : 0);
  });
  const now = Date.now();
  const runAt = Math.min(task.runAt ?? now, now + DELAY_MS_MAX);
  const when = runAt > now ? { dueAt: runAt } : { inbox: ctx.db.vars.commitTs };
  // What is delayed gets its place among the items of its key when it is due.
  const ordered = { key: keyOf(task), ...(runAt > now ? {} : { order: ctx.db.vars.commitTs }) };
  const ids: string[] = [];
  for (const { from, end, bytes } of packChunks(
    sizes,
    fn.type === "mutation" ? GROUP_MAX : undefined,
    ITEM_BYTES_MAX - shared,
  )) {
    const own =
      contexts === undefined || contexts.length === 1 ? contexts : contexts.slice(from, end);
    const chunk = await ctx.db.insert("chunks", {
      fn,
      items: items.slice(from, end),
      ...(own === undefined ? {} : { contexts: own }),
      ...fields,
    });
    const count = end - from;
    const fixed = { chunk, type: fn.type, pool, priority, attempts: 0, again: !once };
    const place = task.key === undefined ? {} : { ...ordered, seq: from };
    await ctx.db.insert("work", { ...fixed, count, bytes: bytes + shared, ...when, ...place });
    for (let place = 0; place < count; place++) ids.push(`${chunk}:${place}`);
  }
  return ids;
}

/** Bytes of one item; throws when it does not fit in a document. */
function sizeOf(args: number, context: number, index: number): number {
  const bytes = args + context;
  if (bytes <= ITEM_BYTES_MAX) return bytes;
  const message =
    `Item ${index} has ${args} bytes of arguments and ${context} of context, at most ` +
    `${ITEM_BYTES_MAX} in all fit in a document. Store it in a table or a file, and pass its id.`;
  throw new ConvexError({ code: "ITEM_TOO_LARGE", field: "args", value: bytes, message });
}

function keyOf({ key = "" }: Task): string {
  if (key.length <= KEY_CHARACTERS_MAX) return key;
  const message =
    `serialKey has ${key.length} characters, at most ${KEY_CHARACTERS_MAX} fit in an index. ` +
    "Use an id, or a digest.";
  throw new ConvexError({ code: "OPTION_INVALID", field: "serialKey", value: key.length, message });
}
