/** Callbacks that threw, each tried again in a transaction of its own. */
import type { FunctionHandle } from "convex/server";
import { v } from "convex/values";
import { log } from "../base/log.js";
import { errorText } from "../base/sizes.js";
import { internalMutation } from "./_generated/server.js";
import { configOf, readGate, wake } from "./gate.js";
import { CALLBACK_ATTEMPTS_MAX, CALLBACK_BACKOFF_MS, DEAD_MS, expiryOf } from "./limits.js";

export const retry = internalMutation({
  args: { callback: v.id("callbacks") },
  returns: v.null(),
  handler: async (ctx, { callback }) => {
    const row = await ctx.db.get("callbacks", callback);
    if (row === null || row.dueAt === undefined) return null;
    const { handle, workId, context, result } = row;
    const one = { workId, context, result };
    const args = row.array === true ? { items: [one] } : one;
    try {
      await ctx.runMutation(handle as FunctionHandle<"mutation">, args);
      await ctx.db.delete("callbacks", callback);
      return null;
    } catch (thrown) {
      const gate = await readGate(ctx);
      const attempts = row.attempts + 1;
      const isOver = attempts >= CALLBACK_ATTEMPTS_MAX;
      const dueAt = Date.now() + CALLBACK_BACKOFF_MS * 2 ** (attempts - 1);
      const error = errorText(thrown);
      await ctx.db.patch("callbacks", callback, {
        attempts,
        error,
        dueAt: isOver ? undefined : dueAt,
        ...(isOver ? { expiresAt: expiryOf(DEAD_MS) } : {}),
      });
      if (gate !== null) {
        if (isOver) log(configOf(gate).logLevel, "ERROR", "pool.callback_dead", { workId, error });
        else if (gate.state === "idle") await wake(ctx, gate);
      }
      return null;
    }
  },
});
