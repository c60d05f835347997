/** What the death of a process means for the tasks that it ran. */

/** What is known of the crashes of a task. */
export interface TaskCrashRecord {
  /** As a suspect, at most so many tasks may run together with it, itself included; or `null`. */
  readonly company: number | null;
  /** Deaths of the process while it ran this single task and nothing else. */
  readonly crashes: number;
}

/** The share of the tasks that ran when a process died which may run together afterwards. */
const SHARE = 8;

/**
 * The record after the process died that ran `running` tasks, this one among them. Each time an
 * eighth as many are tried together: of 1,000 tasks the one that kills is alone after three deaths,
 * and the others wait for some thirty rounds and not for 1,000. Only a death that nothing else can
 * have caused counts.
 */
export function afterTaskCrash(
  record: TaskCrashRecord,
  running: number,
  ranAlone: boolean,
): TaskCrashRecord {
  const counts = ranAlone && running === 1;
  return {
    company: Math.max(1, Math.floor(running / SHARE)),
    crashes: record.crashes + (counts ? 1 : 0),
  };
}
