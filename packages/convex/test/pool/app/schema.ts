import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

/** What user functions leave behind, to be looked at. */
export default defineSchema({
  ran: defineTable({ name: v.string(), at: v.number() }),
  ended: defineTable({ workId: v.string(), context: v.any(), result: v.any() }),
});
