/** The scraping of seed 003. Lines that changed have their original above them. */
import { v } from "convex/values";
// was: import { Workpool } from "@convex-dev/workpool";
import { Workpool } from "@batchwork/convex/pool";
import { components, internal } from "./_generated/api";
import { internalAction, mutation } from "./_generated/server";
import { sent } from "./sent";

const scrapePool = new Workpool(components.scrapeWorkpool, {
  maxParallelism: 1,
});

const allCities = ["Paris", "Oslo", "Rome"];

export const downloadLatestWeather = mutation({
  args: {},
  handler: async (ctx) => {
    for (const city of allCities) {
      // was: await scrapePool.enqueueAction(internal.weather.scrape, { city });
      await scrapePool.enqueueAction(ctx, internal.weather.scrape, { city });
    }
  },
});

export const scrape = internalAction({
  args: { city: v.string() },
  handler: async (ctx, { city }) => {
    sent.push(city);
  },
});
