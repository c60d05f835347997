/** Orders, shipped by one loop in the background, several in one transaction. */
import { v } from "convex/values";
import { ping, vBatchQueryArgs, vBatchResult } from "../../src/client/worker.js";
import { components, internal } from "./_generated/api.js";
import { internalMutation, internalQuery, mutation, query } from "./_generated/server.js";

const NAME = "orders";

export const place = mutation({
  args: { item: v.string() },
  returns: v.id("orders"),
  handler: async (ctx, { item }) => {
    const order = await ctx.db.insert("orders", { item, isShipped: false });
    await ping(ctx, components.worker, {
      name: NAME,
      workQuery: internal.orders.getBatch,
      workerMutation: internal.orders.ship,
      config: { debounceMs: 100 },
    });
    return order;
  },
});

export const getBatch = internalQuery({
  args: vBatchQueryArgs,
  returns: vBatchResult(v.object({ orders: v.array(v.id("orders")) })),
  handler: async (ctx) => {
    const open = await ctx.db
      .query("orders")
      .withIndex("by_is_shipped", (q) => q.eq("isShipped", false))
      .take(20);
    if (open.length === 0) return { kind: "idle" as const };
    return { batch: { orders: open.map(({ _id }) => _id) } };
  },
});

export const ship = internalMutation({
  args: { orders: v.array(v.id("orders")) },
  returns: v.null(),
  handler: async (ctx, { orders }) => {
    for (const order of orders) await ctx.db.patch("orders", order, { isShipped: true });
    return null;
  },
});

/** Stops the loop, or starts it. */
export const setOpen = mutation({
  args: { isOpen: v.boolean() },
  returns: v.null(),
  handler: async (ctx, { isOpen }) => {
    const { lib } = components.worker;
    await ctx.runMutation(isOpen ? lib.start : lib.stop, { name: NAME });
    return null;
  },
});

export const summary = query({
  args: {},
  returns: v.object({ open: v.number(), shipped: v.number(), loop: v.string() }),
  handler: async (ctx) => {
    const orders = await ctx.db.query("orders").take(1000);
    const shipped = orders.filter(({ isShipped }) => isShipped).length;
    const status = await ctx.runQuery(components.worker.lib.status, { name: NAME });
    return { open: orders.length - shipped, shipped, loop: status?.kind ?? "none" };
  },
});
