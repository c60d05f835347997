/**
 * The lane of a task: which tasks go first, and which wait for each other. It is the group of the
 * task's chunk, so that whatever keeps groups apart keeps lanes apart.
 */
import { groupName, storedGroup } from "./group-name.ts";

export interface Lane {
  /** A whole number; the smaller goes first. */
  readonly priority: number;
  /** Tasks of one key run in order; `""` for those that wait for nobody. */
  readonly serialKey: string;
}

/** The group that stands for a lane: text that every storage keeps as it is. */
export function laneName({ priority, serialKey }: Lane): string {
  return `${priority}:${storedGroup(serialKey)}`;
}

/** The inverse of {@link laneName}. */
export function laneOf(name: string): Lane {
  const end = name.indexOf(":");
  return { priority: Number(name.slice(0, end)), serialKey: groupName(name.slice(end + 1)) };
}
