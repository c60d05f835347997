/** The end of a job: what is retried apart is waited for, then `onComplete` is called. */
import type { LoopStep, StepAnswer } from "../storage/loops.ts";
import { hasCode } from "../core/errors.ts";
import type { Change, JobOwner } from "./iterator-steps.ts";
import type { CompletedJob, PageTransaction } from "./iterator-context.ts";
import { coverageReport } from "./iterator-status.ts";

/** True when no item of the job is retried apart any more. */
export async function isSettled({ definition, jobId, state }: JobOwner): Promise<boolean> {
  if (state.handed === 0 || state.settings.dryRun) return true;
  const { waiting, retrying, leased } = await definition.counts(jobId);
  return waiting + retrying + leased === 0;
}

/** Calls `onComplete`, and ends the job once it has returned. */
export async function complete(chain: JobOwner): Promise<void> {
  const { definition, state } = chain;
  const { onComplete } = definition.given;
  const change: Change = { state, move: { to: "done" } };
  if (onComplete === undefined || state.settings.dryRun) {
    await chain.write(change);
    return;
  }
  let committed = false;
  const tx = async <R>(run: (tx: never) => R | PromiseLike<R>): Promise<R> => {
    let step: LoopStep | undefined;
    const transacted = await definition.storage.loops.transact<R>({
      lease: chain.lease,
      confirm: false,
      run,
      step: () => (step = chain.stepOf(change)),
    });
    const { result, answer } = transacted as { result: R; answer: StepAnswer };
    committed = true;
    if (step !== undefined) chain.took(change, step, answer);
    return result;
  };
  try {
    await onComplete(await completedJob(chain, tx));
  } catch (error) {
    if (committed) {
      const message = "onComplete threw after tx had committed: it is not called again.";
      definition.around.logger.warn(message, { name: definition.name, jobId: chain.jobId, error });
      return;
    }
    if (hasCode(error, "LEASE_LOST")) chain.lost();
    else await chain.failedToComplete(error);
    return;
  }
  if (!committed) await chain.write(change);
}

async function completedJob(chain: JobOwner, tx: PageTransaction): Promise<CompletedJob> {
  const { definition, jobId, state } = chain;
  const dead = state.handed === 0 ? 0 : (await definition.counts(jobId)).dead;
  return {
    jobId,
    name: definition.name,
    processedCount: state.processed,
    deadCount: dead,
    coverage: definition.options.coverage ? coverageReport([state]) : null,
    tx,
  };
}
