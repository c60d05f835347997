/** Runs `run` while `target` has a property that it should not have, and takes it away again. */
export function whilePatched<R>(
  target: object,
  key: string,
  property: PropertyDescriptor,
  run: () => R,
): R {
  Object.defineProperty(target, key, { ...property, configurable: true });
  try {
    return run();
  } finally {
    Reflect.deleteProperty(target, key);
  }
}
