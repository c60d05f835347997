/** The tables of the apps that are measured. */
import { defineSchema, defineTable } from "convex/server";
import { v } from "convex/values";

const item = { payload: v.string(), ms: v.optional(v.number()) };

export const schema = defineSchema({
  events: defineTable({ ...item, insertedAt: v.commitTs() }).index("insertedAt", ["insertedAt"]),
  rows: defineTable({ ...item, done: v.optional(v.boolean()) }),
});
