/** Latency of everything that is scheduled, ms. */
export const HOP_MS = 20;
