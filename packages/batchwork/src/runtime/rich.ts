/** The format of values that JSON cannot say: `devalue`, fitted to the codec's law. */
import { stringify, unflatten } from "devalue";
import type { RichFormat } from "../core/codec.ts";

/** Dates, bigints, maps, sets, typed arrays, `undefined`, `NaN`, `-0` and so on, by `devalue`. */
export const richFormat: RichFormat = {
  stringify: (value) => stringify(value, undefined, { operations: { viewInfo } }),
  revive: (json): unknown =>
    unflatten(json as number | unknown[], undefined, { operations: { set } }),
};

/**
 * A view over a part of a buffer is stored with that part alone: the rest of the buffer may be
 * large, and may be none of the reader's business.
 */
function viewInfo(view: Uint8Array | DataView): {
  buffer: ArrayBufferLike;
  byteOffset: number;
  byteLength: number;
  length: number;
  bufferByteLength: number;
} {
  const { byteOffset, byteLength } = view;
  const whole = byteLength === view.buffer.byteLength;
  const buffer = whole ? view.buffer : view.buffer.slice(byteOffset, byteOffset + byteLength);
  return { buffer, byteOffset: 0, byteLength, length: byteLength, bufferByteLength: byteLength };
}

/** Defines instead of assigning where a setter or a frozen prototype could get in the way. */
function set(target: object, key: string, value: unknown): void {
  if (key in target && !Object.hasOwn(target, key)) {
    Object.defineProperty(target, key, {
      value,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  } else {
    Reflect.set(target, key, value);
  }
}
