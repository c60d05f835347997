/** What travels through every row of the benchmark: 9 fields, 200 bytes of JSON. */
export interface Item {
  readonly id: number;
  readonly group: string;
  readonly event: string;
  readonly userId: string;
  readonly path: string;
  readonly durationMs: number;
  readonly ok: boolean;
  readonly at: number;
  readonly note: string;
}

/** Length of one item as JSON, in bytes (all characters are ASCII). */
export const ITEM_BYTES = 200;

const STARTED_AT = 1_767_225_600_000;
const PATH = "/pricing";
const FILLER = "abcdefghij".repeat(ITEM_BYTES / 10);
/** Length of an item as JSON without its varying values. */
const FIXED_BYTES =
  JSON.stringify({
    id: "",
    group: "",
    event: "page.view",
    userId: "",
    path: PATH,
    durationMs: "",
    ok: "",
    at: STARTED_AT,
    note: "",
  }).length -
  '""'.length * 3;

/** Item number `id`, dealt to `groups` groups in turn. */
export function item(id: number, groups = 1): Item {
  const group = `g${id % groups}`;
  const userId = `u_${(id * 7919) % 100_000}`;
  const durationMs = (id % 997) / 10;
  const ok = id % 3 !== 0;
  const varying = `${id}${group}${userId}${durationMs}${ok}`.length;
  return {
    id,
    group,
    event: "page.view",
    userId,
    path: PATH,
    durationMs,
    ok,
    at: STARTED_AT + id,
    note: FILLER.slice(0, ITEM_BYTES - FIXED_BYTES - varying),
  };
}

/** Items `0` to `count - 1`, made before anything is timed. */
export function items(count: number, groups = 1): Item[] {
  return Array.from({ length: count }, (_, id) => item(id, groups));
}

/** The list in slices of `size`, in order. */
export function* slices<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}
