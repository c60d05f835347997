import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  /** The queue: deleted by the worker. */
  events: defineTable({ value: v.number(), at: v.commitTs() }).index("by_at", ["at"]),
  /** What the worker did. */
  handled: defineTable({ values: v.array(v.number()), at: v.number() }),
});
