/**
 * Settings of the functions that others are called from: plans that are made once and that do not
 * depend on statistics, which a fresh table lacks, and which tell nothing of what an open snapshot
 * keeps. Every search has its index, and what it reads is never large. Where a join could begin at
 * the wrong end (a plan made while a table was empty is kept), the statement is written so that it
 * cannot: by `= ANY`, a scalar subquery, or `OFFSET 0`.
 */
export const STEADY_PLANS = `SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off`;
