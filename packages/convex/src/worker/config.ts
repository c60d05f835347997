/** Configuration at run time, without a deploy. */
import { v } from "convex/values";
import { present } from "../base/fields.js";
import { checked } from "./check.js";
import type { Doc } from "./_generated/dataModel.js";
import { mutation } from "./_generated/server.js";
import { vBackoff, type Config } from "./validators.js";
import { known } from "./wake.js";

const number = v.optional(v.union(v.number(), v.null()));

/**
 * Stores what wins over what is pinged; `null` takes it back, what is not given stays. It holds
 * from the next turn on. Throws `WORKER_UNKNOWN` and `OPTION_INVALID`.
 */
export const update = mutation({
  args: {
    name: v.string(),
    debounceMs: number,
    monitorLagMs: number,
    maxAttempts: number,
    isolate: v.optional(v.union(v.boolean(), v.null())),
    backoff: v.optional(v.union(vBackoff, v.null())),
  },
  returns: v.null(),
  handler: async (ctx, { name, ...given }) => {
    const worker = await known(ctx, name);
    const override = present({ ...worker.override, ...given }) as Config;
    const changes: Partial<Doc<"workers">> = { override: checked(override) };
    await ctx.db.patch("workers", worker._id, changes);
    return null;
  },
});
