/** Work that goes on by itself, a transaction at a time. */
import { v } from "convex/values";
import { internalMutation } from "./_generated/server.js";
import { cancelRows } from "./cancel.js";

/** The next rows of a `cancelAll`. */
export const cancel = internalMutation({
  args: { after: v.number(), before: v.number(), limit: v.number() },
  returns: v.null(),
  handler: async (ctx, args) => {
    await cancelRows(ctx, args);
    return null;
  },
});
