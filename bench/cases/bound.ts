/**
 * The bound: what any engine has to do that keeps items as JSON text and promises them after an
 * fsync. For each 500 items: encode, write, `fdatasync`; then read, parse, write an 8-byte
 * acknowledgement, `fdatasync`. No claims, no order, no retries, no recovery.
 */
import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { CaseContext, CaseResult } from "../harness/case.ts";
import { Deliveries } from "../harness/deliveries.ts";
import { items, slices, type Item } from "../harness/items.ts";
import { Meter } from "../harness/meter.ts";

const PER_SYNC = 500;

export async function bound(context: CaseContext): Promise<CaseResult> {
  const all = items(context.items);
  const deliveries = new Deliveries(all.length);
  const data = openSync(join(context.directory, "data"), "w+");
  const acknowledgements = openSync(join(context.directory, "acknowledgements"), "w+");
  const lengths: number[] = [];
  let syncs = 0;
  const meter = await Meter.start({ items: all.length, commits: () => syncs, synchronous: true });
  for (const slice of slices(all, PER_SYNC)) {
    const bytes = Buffer.from(JSON.stringify(slice));
    writeSync(data, bytes);
    fdatasyncSync(data);
    lengths.push(bytes.length);
    syncs++;
  }
  meter.phase("add");
  const acknowledgement = Buffer.alloc(8);
  let position = 0;
  for (const length of lengths) {
    const bytes = Buffer.allocUnsafe(length);
    readSync(data, bytes, 0, length, position);
    for (const { id } of JSON.parse(bytes.toString()) as Item[]) deliveries.mark(id);
    position += length;
    acknowledgement.writeDoubleLE(position);
    writeSync(acknowledgements, acknowledgement);
    fdatasyncSync(acknowledgements);
    syncs++;
  }
  meter.phase("process");
  const measurement = await meter.stop();
  closeSync(data);
  closeSync(acknowledgements);
  deliveries.verify();
  return { ...measurement, durability: "plain file, fdatasync per 500 items: on disk" };
}
