import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ name: v.string(), greeting: v.optional(v.string()) }),
  /** What the analytics service received. */
  visits: defineTable({ site: v.string(), page: v.string() }).index("by_site", ["site"]),
  /** Jobs that went through all users. */
  reports: defineTable({ jobId: v.string(), users: v.number() }),
  orders: defineTable({ item: v.string(), isShipped: v.boolean() }).index("by_is_shipped", [
    "isShipped",
  ]),
});
