/** What the numbers were measured on. */
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { version, versions } from "node:process";
import { median, rounded } from "./statistics.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly platform: string;
  readonly node: string;
  /** Of `node:sqlite`. */
  readonly sqlite: string;
  readonly fs: string;
  /** Median of 40 times 4 KiB written and synced; single adds can be no faster. */
  readonly fdatasyncMs: number;
}

/** `f_type` of statfs(2) for what benchmarks are likely to meet. */
const FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0xef_53, "ext4"],
  [0x58_46_53_42, "xfs"],
  [0x91_23_68_3e, "btrfs"],
  [0x2f_c1_2f_c1, "zfs"],
  [0x79_4c_76_30, "overlayfs"],
  [0x01_02_19_94, "tmpfs"],
  [0x1a, "apfs"],
]);

/** Describes this machine and the disk that `root` is on. Throws when that is no disk at all. */
export function describeMachine(root: string): Machine {
  mkdirSync(root, { recursive: true });
  const type = statfsSync(root).type;
  const fs = FILE_SYSTEMS.get(type) ?? `0x${type.toString(16)}`;
  if (fs === "tmpfs") throw new Error(`${root} is in memory: choose a disk with --dir`);
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGb: rounded(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: version,
    sqlite: versions["sqlite"] ?? "unknown",
    fs,
    fdatasyncMs: rounded(syncTime(root)),
  };
}

function syncTime(root: string): number {
  const path = join(root, `sync-${process.pid}`);
  const file = openSync(path, "w");
  const block = Buffer.alloc(4096);
  const times = Array.from({ length: 40 }, () => {
    const before = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    return performance.now() - before;
  });
  closeSync(file);
  rmSync(path);
  return median(times);
}
