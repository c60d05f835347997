/** Settles what ended and claims what is due, in one round trip. */
import type { FlushReason } from "../../core/flush.ts";
import { memberCount, type Member } from "../../core/members.ts";
import { SEPARATOR } from "../../core/codec.ts";
import type { ClaimedBatch, Exchange, Exchanged, QueueClaim } from "../storage.ts";
import type { Database } from "./database.ts";
import { groupName } from "../../core/group-name.ts";
import { memberOf } from "./preparation.ts";
import { outcomeText } from "./settle.ts";

const EXCHANGE = "SELECT * FROM @.exchange($1, $2, $3, $4, $5, $6, $7)";

/** What `exchange` of the schema returns; which columns mean what depends on `kind`. */
interface Row {
  readonly kind: "s" | "b" | "m" | "x";
  readonly n: number;
  readonly ok: boolean;
  readonly meta: string;
  readonly data: string | null;
}

/** `meta` of a claimed batch. */
interface BatchMeta {
  readonly token: number;
  readonly queue: number;
  readonly group: string;
  readonly attempt: number;
  readonly count: number;
  readonly bytes: number | null;
  readonly reason: FlushReason;
  readonly parent: number | null;
  readonly root: number | null;
  readonly sealedAt: number;
  readonly prepared: boolean;
  readonly left: number;
}

/** A claimed batch whose members are still coming in. */
interface Claimed {
  readonly id: number;
  readonly alone: boolean;
  readonly meta: BatchMeta;
  readonly members: Member[];
  readonly payloads: string[];
}

/** How often others may be in the way before a claim gives up until the next look. */
const TRIES = 3;

const WAIT = "SELECT @.wait_for_others($1, $2)";

/** Where claims of each queue begin to search; the schema's functions know what it means. */
export type Marks = Map<number, unknown>;

export async function exchange(
  database: Database,
  marks: Marks,
  request: Exchange,
): Promise<Exchanged> {
  let answer = await once(database, marks, request);
  const { settled } = answer.exchanged;
  // Groups that others have are passed over. Where nothing else is left, wait for one of them.
  for (let tries = 1; tries < TRIES && answer.contended; tries++) {
    const free = request.claims.filter(({ limit }) => limit > 0);
    await database.run(WAIT, [free.map(({ queue }) => queue), database.at]);
    answer = await once(database, marks, { ...request, settlements: [] });
  }
  return { ...answer.exchanged, settled };
}

/** `contended`: nothing was claimed, and others hold what might have been. */
interface Answer {
  readonly exchanged: Exchanged;
  readonly contended: boolean;
}

async function once(database: Database, marks: Marks, request: Exchange): Promise<Answer> {
  const { incarnation, settlements, claims, alone } = request;
  const rows = (await database.rows(EXCHANGE, [
    incarnation,
    settlements.map(({ batch }) => batch),
    settlements.map(({ token }) => token),
    settlements.map(({ outcome }) => outcomeText(outcome)),
    JSON.stringify(claims.map((claim) => ({ ...finite(claim), marks: marks.get(claim.queue) }))),
    alone,
    database.at,
  ])) as unknown as readonly Row[];
  const settled: ("settled" | "lost")[] = [];
  const claimed = new Map<number, Claimed>();
  for (const row of rows) {
    if (row.kind === "s") settled.push(row.ok ? "settled" : "lost");
    else if (row.kind === "b") claimed.set(row.n, begin(row));
    else if (row.kind === "m") addMember(claimed.get(row.n) as Claimed, row);
  }
  const { n: now, ok: more, meta } = rows.at(-1) as Row;
  const { contended, marks: moved, ...next } = JSON.parse(meta) as NextMeta;
  for (const [queue, mark] of Object.entries(moved ?? {})) marks.set(Number(queue), mark);
  const batches = [...claimed.values()].map(end);
  return {
    exchanged: { settled, claimed: batches, more, now, ...next },
    contended: contended && batches.length === 0,
  };
}

/** `meta` of the last row. */
interface NextMeta extends Pick<Exchanged, "nextAt" | "suspectWaiting"> {
  readonly contended: boolean;
  readonly marks: Readonly<Record<string, unknown>> | null;
}

/** The caps as PostgreSQL can hold them: it has no infinity among its whole numbers. */
function finite(claim: QueueClaim): QueueClaim {
  const most = Number.MAX_SAFE_INTEGER;
  return {
    ...claim,
    maxSize: Math.min(claim.maxSize, most),
    maxBytes: Math.min(claim.maxBytes, most),
    groupConcurrency: Math.min(claim.groupConcurrency, most),
    limit: Math.min(claim.limit, most),
  };
}

function begin({ n, ok, meta }: Row): Claimed {
  const parsed = JSON.parse(meta) as BatchMeta;
  return { id: n, alone: ok, meta: parsed, members: [], payloads: [] };
}

function addMember({ members, payloads }: Claimed, { ok, meta, data }: Row): void {
  members.push(memberOf(meta, ok));
  payloads.push(data as string);
}

function end({ id, alone, meta, members, payloads }: Claimed): ClaimedBatch {
  const { token, queue, attempt, count, reason, parent, root, sealedAt, prepared, left } = meta;
  return {
    batch: id,
    token,
    queue,
    group: groupName(meta.group),
    attempt,
    count,
    bytes: meta.bytes ?? bytesOf(members, payloads),
    members,
    payloads,
    reason,
    parentId: parent,
    rootId: root ?? id,
    sealedAt,
    alone,
    prepared,
    left,
  };
}

/** Bytes of the items of all members: the separators between them do not count. */
function bytesOf(members: readonly Member[], payloads: readonly string[]): number {
  let bytes = 0;
  for (const [n, text] of payloads.entries()) {
    const count = memberCount(members[n] as Member);
    bytes += Buffer.byteLength(text) - SEPARATOR.length * (count - 1);
  }
  return bytes;
}
