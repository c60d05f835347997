/** Handlers of a `BatchWorkpool`, and their executor. */
import { componentsGeneric, makeFunctionReference } from "convex/server";
import { v } from "convex/values";
import { BatchWorkpool } from "../../../src/client/pool.js";
import type { ComponentApi } from "../../../src/pool/_generated/component.js";
import { watched } from "./watched.js";

const { pool } = componentsGeneric() as unknown as { pool: ComponentApi };

export const tasks = new BatchWorkpool(pool, { maxWorkers: 2, maxConcurrencyPerWorker: 1000 });

export const greet = tasks.action("greet", {
  args: { name: v.string(), ms: v.optional(v.number()) },
  handler: async (_, { name, ms = 0 }) => {
    watched.started.push(name);
    // Its executor dies of it.
    if (name === "poison") await Promise.withResolvers<never>().promise;
    if (ms > 0) {
      await new Promise((resolve) => {
        setTimeout(resolve, ms);
      });
    }
    watched.done.push(name);
    return `hello ${name}`;
  },
});

export const executor = tasks.executor();

tasks.setExecutorRef(makeFunctionReference("tasks:executor"));
