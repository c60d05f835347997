/** The live line: a bar on a terminal, a line every half second anywhere else. */
import { SingleBar } from "cli-progress";
import type { Tally } from "./load.ts";
import { source } from "./source.ts";

const BAR_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 500;

/** Shows the tally until it is stopped. `before` cities were there already. */
export function showProgress(
  tally: Tally,
  before: number,
  ask: () => Promise<{ readonly waiting: number; readonly dead: number }>,
): { stop(): Promise<void> } {
  const startedAt = performance.now();
  const isTty = process.stdout.isTTY;
  const bar = new SingleBar({
    format: "[{bar}] {percentage}%  {line}",
    stream: process.stdout,
    barsize: 8,
    // The process may be killed: change nothing of the terminal that it would have to put back.
    linewrap: true,
    hideCursor: null,
  });

  /** A timer asks, and so does `stop`. */
  async function look(): Promise<void> {
    const { waiting, dead } = await ask();
    const seconds = (performance.now() - startedAt) / 1000;
    const cities = (before + tally.cities).toLocaleString("en-US");
    const rate = Math.round(tally.cities / seconds).toLocaleString("en-US");
    const numbers = `waiting ${waiting.toLocaleString("en-US")}  batches ${tally.batches}`;
    const line = `${cities} cities  ${rate}/s  ${numbers}  retries ${tally.retries}`;
    if (isTty) bar.update(before + tally.cities + dead, { line });
    else console.log(line);
  }

  if (isTty) bar.start(source.length, before, { line: "" });
  const timer = setInterval(() => void look(), isTty ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);
  return {
    async stop() {
      clearInterval(timer);
      await look();
      if (isTty) bar.stop();
    },
  };
}
