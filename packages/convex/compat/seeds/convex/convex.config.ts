/** All components that the snippets install, by the names that they give them. */
import { defineApp } from "convex/server";
// was: import batchProcessor from "convex-batch-processor/convex.config";
import batchProcessor from "@batchwork/convex/batch/convex.config";
// was: import batchWorker from "@convex-dev/batch-worker/convex.config.js";
import batchWorker from "@batchwork/convex/worker/convex.config.js";
// was: import workpool from "@convex-dev/workpool/convex.config";
import workpool from "@batchwork/convex/pool/convex.config";

const app = defineApp();
// was: app.use(batchProcessor);
app.use(batchProcessor, { name: "batchProcessor" });
// was: app.use(batchWorker, { env: { LOG_LEVEL: "REPORT" } });
app.use(batchWorker, { name: "batchWorker", env: { LOG_LEVEL: "REPORT" } });
app.use(workpool, { name: "emailWorkpool" });
app.use(workpool, { name: "scrapeWorkpool" });
app.use(workpool, { name: "counterWorkpool" });
app.use(workpool, { name: "standardPool" });
app.use(workpool, { name: "batchPool" });

export default app;
