/** The counter of seed 003. Lines that changed have their original above them. */
// was: import { Workpool } from "@convex-dev/workpool";
import { Workpool } from "@batchwork/convex/pool";
import { api, components } from "./_generated/api";
import { action, mutation } from "./_generated/server";

const counterPool = new Workpool(components.counterWorkpool, {
  maxParallelism: 1,
});

export const increment = mutation({
  args: {},
  handler: async (ctx): Promise<number> => {
    const counter = await ctx.db.query("counters").first();
    const count = (counter?.count ?? 0) + 1;
    if (counter === null) await ctx.db.insert("counters", { count });
    else await ctx.db.patch(counter._id, { count });
    return count;
  },
});

export const doSomethingAndCount = action({
  args: {},
  handler: async (ctx): Promise<number> => {
    // poolCtx has the same interface as ctx, but it runs everything in the pool.
    const poolCtx = counterPool.ctx(ctx);
    const newValue = await poolCtx.runMutation(api.counter.increment);
    // You can schedule things and they will run in the pool.
    await poolCtx.scheduler.runAfter(100, api.counter.increment);
    return newValue;
  },
});

export const scheduleAndCancel = action({
  args: {},
  handler: async (ctx): Promise<null> => {
    const poolCtx = counterPool.ctx(ctx);
    const id = await poolCtx.scheduler.runAt(Date.now() + 60_000, api.counter.increment, {});
    await poolCtx.scheduler.cancel(id);
    return null;
  },
});
