import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ name: v.string(), email: v.string() }),
  migrated: defineTable({ email: v.string() }),
  completed: defineTable({ jobId: v.string(), processedCount: v.number() }),
  sent: defineTable({ what: v.string() }),
  events: defineTable({ value: v.number() }),
  totals: defineTable({ value: v.number() }),
  counters: defineTable({ count: v.number() }),
  translations: defineTable({
    sentence: v.string(),
    spanish: v.optional(v.string()),
    english: v.optional(v.string()),
    letters: v.optional(v.number()),
  }),
});
