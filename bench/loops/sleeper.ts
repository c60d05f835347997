/** The other process of `wake-across`: has the worker, and says when it found which row. */
import { argv } from "node:process";
import { Batchwork } from "batchwork";
import { sqlite } from "batchwork/sqlite";
import { emailsWorker } from "./wake.ts";

const bw = new Batchwork({ storage: sqlite({ path: argv[2] ?? "" }) });
emailsWorker(bw, (id, at) => void process.send?.({ id, at: String(at) }));
await bw.start();
process.once("message", () => {
  void bw.stop().then(() => process.disconnect());
});
