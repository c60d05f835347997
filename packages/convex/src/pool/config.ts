/** Configuration at run time, without a deploy. */
import { ConvexError, v } from "convex/values";
import { mutation } from "./_generated/server.js";
import { openGate, unpark, wake } from "./gate.js";
import { vConfig } from "./validators.js";
import { checkConfig } from "./check.js";

/**
 * Stores what wins over every declaration in code; what is not given stays. `maxParallelism: 0`
 * pauses: nothing new is started, and what runs is settled as usual.
 */
export const update = mutation({
  args: vConfig,
  returns: v.null(),
  handler: async (ctx, args) => {
    const gate = await openGate(ctx, {});
    const problem = checkConfig(args, gate.executor !== undefined);
    if (problem !== null) throw new ConvexError(problem);
    const override = { ...gate.override, ...args };
    await ctx.db.patch("gate", gate._id, { override });
    // Work may wait for the room that there is now.
    if (gate.state === "idle") await wake(ctx, { ...gate, override });
    else await unpark(ctx);
    return null;
  },
});
