/** A limit to how long an item is waited for. */

/**
 * What `call` comes to, unless it takes longer than `ms`: then this throws, and whatever the call
 * does later is ignored. It is not stopped: Convex has no way to.
 */
export async function within<Value>(call: Promise<Value>, ms: number | undefined): Promise<Value> {
  if (ms === undefined) return call;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new Error(`It took longer than ${ms} ms, and was given up.`));
  }, ms);
  try {
    return await Promise.race([call, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
