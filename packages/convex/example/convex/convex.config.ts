import { defineApp } from "convex/server";
import batch from "../../src/batch/convex.config.js";
import pool from "../../src/pool/convex.config.js";
import worker from "../../src/worker/convex.config.js";

const app = defineApp();
app.use(batch);
app.use(pool);
app.use(pool, { name: "serialPool", env: { LOG_LEVEL: "WARN" } });
app.use(pool, { name: "reminderPool" });
app.use(worker);

export default app;
