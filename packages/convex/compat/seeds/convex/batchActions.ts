/** The handlers of seed 002, which run next to each other in one executor. */
import { v } from "convex/values";
import { internal } from "./_generated/api";
import { batch } from "./setup";

export const translateToSpanish = batch.action("translateToSpanish", {
  args: { sentence: v.string() },
  handler: async (ctx, { sentence }) => `es(${sentence})`,
});

export const translateToEnglish = batch.action("translateToEnglish", {
  args: { spanish: v.string() },
  handler: async (ctx, { spanish }) => {
    if (spanish.includes("broken")) throw new Error("no translation");
    return `en(${spanish})`;
  },
});

export const countLetters = batch.action("countLetters", {
  args: { text: v.string() },
  handler: async (ctx, { text }) => text.replace(/[^a-z]/gi, "").length,
});

export const executor = batch.executor();

batch.setExecutorRef(internal.batchActions.executor);
