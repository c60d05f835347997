/**
 * Items as text. The law: `decode(encode(x))` deeply equals `x` (same prototypes; `-0`, `NaN` and
 * `undefined` kept), or `encode` throws `ITEM_INVALID` with the path of what cannot be kept.
 *
 * What JSON can say is stored as JSON. What it cannot (dates, bigints, maps, `undefined`, …) is
 * wrapped as `{"\u0000rich": …}`, still JSON, so the items of a chunk parse at once, as one array.
 */
import { BatchworkError } from "./errors.ts";
import { checkRich } from "./inspect.ts";
import { isRun, type Run } from "./members.ts";
import { isPlain } from "./plain.ts";
import { RESULT_KEY, ttlFrom } from "./submitted.ts";

/** Rich values go through a library; core imports nothing, so the format is injected. */
export interface RichFormat {
  /** One JSON text without raw newlines. */
  stringify(value: unknown): string;
  /** The value again, from what `JSON.parse` makes of that text. */
  revive(json: unknown): unknown;
}

/** Told of an item that was submitted. */
export type Submitted = (position: number, ttlMs: number) => void;

/** Turns items into text and back. */
export interface Codec {
  /**
   * The text of one item. Throws `ITEM_INVALID` with the path in `field`, or `ITEM_TOO_LARGE` for
   * an item with more values than its bytes could hold; the bytes themselves are not counted here.
   */
  encode(item: unknown): string;
  /**
   * The texts of these items, joined, as `encode` and `joinItems` would make them, at two thirds of
   * the cost. `null` where it takes a look at each item to tell: nothing is thrown here.
   */
  encodeAll(items: readonly unknown[]): string | null;
  /**
   * All items of these pieces, in order. A piece is one item text or more, joined. `submitted` is
   * called for each item that was submitted, with its position and the `ttlMs` of its result.
   */
  decode(pieces: readonly string[], submitted?: Submitted): unknown[];
}

/** Item texts of one chunk are joined by this. JSON text never holds a raw newline. */
export const SEPARATOR = ",\n";

/** Where one object ends and the next begins; also inside an item that holds a list of objects. */
const BOUNDARY = /\},\{/g;

/** The same with the separator in between. */
const SEPARATED = `}${SEPARATOR}{`;

/** The only key of the object that wraps a rich item. No JSON text begins with it by chance. */
const RICH_KEY = "\u0000rich";

/** How that object begins as text; JSON writes the `\u0000` as an escape. */
const RICH_PREFIX = `{${JSON.stringify(RICH_KEY)}:`;

/**
 * What the text of every wrapped item holds, rich or submitted. It begins with a rare character, so
 * it is found fast.
 */
const MARK = JSON.stringify("\u0000r").slice(1, -1);

/** How every wrapped item begins as text, and no other one: what would do so is wrapped as rich. */
const WRAPPED_PREFIX = `{"${MARK}`;

/** A codec that leaves what JSON cannot say to `rich`. */
export function createCodec(rich: RichFormat): Codec {
  return {
    encode: (item) => {
      try {
        if (isPlain(item)) {
          const text = JSON.stringify(item);
          if (!text.startsWith(WRAPPED_PREFIX)) return text;
        }
        checkRich(item);
        return `${RICH_PREFIX}${rich.stringify(item)}}`;
      } catch (cause) {
        if (cause instanceof BatchworkError) throw cause;
        // A Proxy may show one thing to the walk and another to JSON.
        const message = "The item at $ cannot be encoded: pass plain data without a Proxy.";
        throw new BatchworkError("ITEM_INVALID", message, { field: "$", value: item, cause });
      }
    },
    encodeAll: (items) => {
      for (const item of items) if (!isRecord(item) || !isPlain(item)) return null;
      const text = textOf(items);
      if (text === null || text.includes(MARK)) return null;
      const joined = text.slice(1, -1).replaceAll(BOUNDARY, SEPARATED);
      // Each object adds the one newline behind it. Any more are inside of items.
      return joined.length === text.length - 3 + items.length ? joined : null;
    },
    decode: (pieces, submitted) => {
      try {
        const text = pieces.length === 1 ? (pieces[0] as string) : pieces.join(SEPARATOR);
        const items = JSON.parse(`[${text}]`) as unknown[];
        if (!text.includes(MARK)) return items;
        return items.map((item, position) => {
          let inner = item;
          if (isWrapped(item, RESULT_KEY)) {
            const [ttl, value] = item[RESULT_KEY] as readonly [number | null, unknown];
            submitted?.(position, ttlFrom(ttl));
            inner = value;
          }
          return isWrapped(inner, RICH_KEY) ? rich.revive(inner[RICH_KEY]) : inner;
        });
      } catch (cause) {
        const message = "Stored items cannot be read back: their text was damaged.";
        throw new BatchworkError("STORAGE_FAILED", message, { cause });
      }
    },
  };
}

/** JSON, or `null` for what only pretended to be plain, as a Proxy may. */
function textOf(items: readonly unknown[]): string | null {
  try {
    return JSON.stringify(items);
  } catch {
    return null;
  }
}

/** True for what JSON writes in braces. */
function isRecord(item: unknown): boolean {
  return typeof item === "object" && item !== null && !Array.isArray(item);
}

/** True for an object that is, or looks like, an item wrapped under this key. */
function isWrapped<K extends string>(item: unknown, key: K): item is Readonly<Record<K, unknown>> {
  if (typeof item !== "object" || item === null || !Object.hasOwn(item, key)) return false;
  return Object.keys(item).length === 1;
}

/** The text of a chunk, from the texts of its items. */
export function joinItems(texts: readonly string[]): string {
  return texts.join(SEPARATOR);
}

/** The texts of a chunk's items. */
export function splitItems(text: string): string[] {
  return text.split(SEPARATOR);
}

/** The items of `text` (which holds `total` items) that a member names, as text again. */
export function pickText(text: string, items: Run | readonly number[], total: number): string {
  const count = isRun(items) ? items.count : items.length;
  // A member names each item at most once, so as many as there are means all of them.
  if (count === total) return text;
  const texts = splitItems(text);
  const picked = isRun(items)
    ? texts.slice(items.from, items.from + items.count)
    : items.map((index) => texts[index] as string);
  return joinItems(picked);
}
