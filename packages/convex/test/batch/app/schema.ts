import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

export default defineSchema({
  users: defineTable({ n: v.number(), text: v.optional(v.string()) }),
  /** Jobs whose `onComplete` ran. */
  completed: defineTable({ jobId: v.string(), processedCount: v.number() }),
});
