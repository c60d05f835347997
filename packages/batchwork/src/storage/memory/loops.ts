/** Loops: one object each, and every write fenced by its token. */
import { placeAfterControl, placeAfterStep, type LoopPlace } from "../../core/loop-step.ts";
import {
  hasEnded,
  loopTransition,
  type LoopControl,
  type LoopLease,
  type LoopStatus,
} from "../../core/loop-transitions.ts";
import type { LoopDeadQuery, LoopLetter, LoopLetters } from "../loop-dead.ts";
import type {
  ClaimedLoops,
  ControlledLoop,
  CreatedLoop,
  LoopClaim,
  LoopKey,
  LoopNote,
  LoopQuery,
  LoopRow,
  LoopStep,
  NewLoop,
  NoteQuery,
  PingAnswer,
  StepAnswer,
} from "../loops.ts";

/** A row, and what is not shown of it. */
interface Loop extends LoopRow {
  readonly kicked: boolean;
}

/** All loops of one memory storage. */
export class Loops {
  readonly #loops = new Map<number, Loop>();
  readonly #letters = new Map<number, LoopLetter>();
  readonly #notes = new Map<number, LoopNote[]>();
  #lastLoop = 0;
  #lastLetter = 0;

  create(loops: readonly NewLoop[], now: number): CreatedLoop[] {
    return loops.map(({ runInMs, ...given }) => {
      const found = this.#find(given);
      if (found !== undefined) return { loop: rowOf(found), created: false };
      const loop: Loop = {
        id: ++this.#lastLoop,
        ...given,
        token: 0,
        status: "active",
        owner: null,
        runAt: now + runInMs,
        step: 0,
        attempt: 0,
        crashes: 0,
        error: null,
        createdAt: now,
        updatedAt: now,
        kicked: false,
      };
      this.#loops.set(loop.id, loop);
      return { loop: rowOf(loop), created: true };
    });
  }

  get(keys: readonly LoopKey[]): (LoopRow | null)[] {
    return keys.map((key) => {
      const loop = this.#find(key);
      return loop === undefined ? null : rowOf(loop);
    });
  }

  list({ kind, name, statuses, before, limit }: LoopQuery): LoopRow[] {
    return this.#of({ kind, name })
      .filter(({ id, status }) => {
        return (before === null || id < before) && (statuses?.includes(status) ?? true);
      })
      .toSorted((a, b) => b.id - a.id)
      .slice(0, limit)
      .map(rowOf);
  }

  delete(ids: readonly number[], statuses: readonly LoopStatus[]): number[] {
    return ids.filter((id) => {
      const loop = this.#loops.get(id);
      if (loop === undefined || !statuses.includes(loop.status)) return false;
      this.#loops.delete(id);
      this.#notes.delete(id);
      for (const letter of this.#letters.values()) {
        if (letter.loop === id) this.#letters.delete(letter.id);
      }
      return true;
    });
  }

  control(ids: readonly number[], event: LoopControl, now: number): ControlledLoop[] {
    return ids.map((id) => {
      const loop = this.#loops.get(id);
      if (loop === undefined) return { changed: false, loop: null };
      const place = placeAfterControl(placeOf(loop), event, now);
      if (place === null) return { changed: false, loop: rowOf(loop) };
      const fresh = event === "resume" ? { attempt: 0, crashes: 0, error: null } : {};
      return { changed: true, loop: rowOf(this.#change(loop, place, now, fresh)) };
    });
  }

  /** `alive`: whether the incarnation is. */
  claim({ incarnation, takes }: LoopClaim, alive: boolean, now: number): ClaimedLoops {
    const claimed: LoopRow[] = [];
    let nextAt = Number.POSITIVE_INFINITY;
    let more = false;
    for (const { limit, ...definition } of takes) {
      const free = this.#of(definition).filter(({ owner, runAt }) => {
        return owner === null && runAt !== null;
      }) as (Loop & { readonly runAt: number })[];
      const due = free.filter(({ runAt }) => runAt <= now);
      due.sort((a, b) => a.runAt - b.runAt || a.id - b.id);
      if (due.length > limit) more = true;
      else for (const { runAt } of free) if (runAt > now) nextAt = Math.min(nextAt, runAt);
      for (const loop of alive ? due.slice(0, limit) : []) {
        const status = loopTransition(loop.status, "wake") ?? loop.status;
        const taken = {
          ...loop,
          status,
          owner: incarnation,
          token: loop.token + 1,
          updatedAt: now,
        };
        this.#loops.set(loop.id, taken);
        claimed.push(rowOf(taken));
      }
    }
    return { claimed, nextAt: nextAt === Number.POSITIVE_INFINITY ? null : nextAt, more, now };
  }

  isHeld({ loop, token }: LoopLease): boolean {
    const found = this.#loops.get(loop);
    return found !== undefined && found.token === token && found.owner !== null;
  }

  isPaused({ loop }: LoopLease): boolean {
    return this.#loops.get(loop)?.status === "paused";
  }

  write(given: LoopStep, now: number): StepAnswer {
    const { step, cursor, state, attempt, error, move } = given;
    const loop = this.#loops.get(given.loop);
    if (loop?.token === given.token && loop.step === step) return written(placeOf(loop));
    if (loop === undefined || !this.isHeld(given) || loop.step !== step - 1) {
      return { result: "lost", status: loop?.status ?? null, runAt: null, owned: false };
    }
    const place = placeAfterStep(placeOf(loop), move, now);
    this.#change(loop, place, now, { step, cursor, state, attempt, error, crashes: 0 });
    for (const { item, error, attempts } of given.bury ?? []) {
      const id = ++this.#lastLetter;
      const { part } = loop;
      const letter = { id, loop: loop.id, part, item, error, attempts, marked: false, diedAt: now };
      this.#letters.set(id, letter);
    }
    for (const id of given.revive ?? []) {
      if (this.#letters.get(id)?.loop === loop.id) this.#letters.delete(id);
    }
    if (given.note !== undefined) {
      const notes = this.#notes.get(loop.id) ?? [];
      notes.push({ step, note: given.note });
      this.#notes.set(loop.id, notes);
    }
    return written(place);
  }

  notes({ loop, after, limit }: NoteQuery): LoopNote[] {
    const notes = this.#notes.get(loop) ?? [];
    return notes.filter(({ step }) => step > after).slice(0, limit);
  }

  /** What a ping comes to, and what it changes. */
  ping(id: number): { readonly answer: PingAnswer; readonly wake: (at: number) => void } {
    const loop = this.#loops.get(id);
    const nothing = (): void => undefined;
    if (loop === undefined || hasEnded(loop.status)) return { answer: "ended", wake: nothing };
    const status = loopTransition(loop.status, "ping");
    if (status === null) {
      return { answer: loop.status === "paused" ? "paused" : "awake", wake: nothing };
    }
    const wake = (at: number): void => void this.#loops.set(id, { ...loop, status, runAt: at });
    return { answer: "woken", wake };
  }

  release(leases: readonly LoopLease[]): void {
    for (const lease of leases) {
      if (this.isHeld(lease)) this.#free(this.#loops.get(lease.loop) as Loop, 0);
    }
  }

  releaseStrangers(incarnation: number, known: readonly LoopLease[]): LoopLease[] {
    const tokens = new Map(known.map(({ loop, token }) => [loop, token]));
    const held = new Map<number, number>();
    for (const loop of this.#heldBy(incarnation)) {
      if (tokens.get(loop.id) === loop.token) held.set(loop.id, loop.token);
      else this.#free(loop, 0);
    }
    return known.filter(({ loop, token }) => held.get(loop) !== token);
  }

  releaseAll(incarnation: number): void {
    for (const loop of this.#heldBy(incarnation)) this.#free(loop, 0);
  }

  /** The owner died. */
  crash(incarnation: number): void {
    for (const loop of this.#heldBy(incarnation)) this.#free(loop, 1);
  }

  deadLetters({ part, marked, after, limit, ...definition }: LoopDeadQuery): LoopLetter[] {
    return this.#lettersOf({ ...definition, ids: "all" })
      .filter((letter) => letter.id > after && (part === null || letter.part === part))
      .filter((letter) => letter.marked || !marked)
      .slice(0, limit);
  }

  discardDead(letters: LoopLetters): number {
    const found = this.#lettersOf(letters);
    for (const { id } of found) this.#letters.delete(id);
    return found.length;
  }

  redriveDead(letters: LoopLetters, now: number): number {
    const found = this.#lettersOf(letters).filter(({ marked }) => !marked);
    for (const letter of found) this.#letters.set(letter.id, { ...letter, marked: true });
    this.control([...new Set(found.map(({ loop }) => loop))], "kick", now);
    return found.length;
  }

  #lettersOf({ kind, name, ids }: LoopLetters): LoopLetter[] {
    const loops = new Set(this.#of({ kind, name }).map(({ id }) => id));
    return [...this.#letters.values()].filter(({ id, loop }) => {
      return loops.has(loop) && (ids === "all" || ids.includes(id));
    });
  }

  #find({ part, ...definition }: LoopKey): Loop | undefined {
    return this.#of(definition).find((loop) => loop.part === part);
  }

  #of({ kind, name }: { readonly kind: string; readonly name: string }): Loop[] {
    return [...this.#loops.values()].filter((loop) => loop.kind === kind && loop.name === name);
  }

  #heldBy(incarnation: number): Loop[] {
    return [...this.#loops.values()].filter(({ owner }) => owner === incarnation);
  }

  #free(loop: Loop, crashes: number): void {
    this.#loops.set(loop.id, { ...loop, owner: null, crashes: loop.crashes + crashes });
  }

  #change(loop: Loop, place: LoopPlace, now: number, fields: Partial<Loop>): Loop {
    const { status, runAt, owned, kicked } = place;
    const owner = owned ? loop.owner : null;
    const changed = { ...loop, ...fields, status, runAt, owner, kicked, updatedAt: now };
    this.#loops.set(loop.id, changed);
    return changed;
  }
}

function placeOf({ status, runAt, owner, kicked }: Loop): LoopPlace {
  return { status, runAt, owned: owner !== null, kicked };
}

function written({ status, runAt, owned }: LoopPlace): StepAnswer {
  return { result: "written", status, runAt, owned };
}

function rowOf({ kicked: _kicked, ...row }: Loop): LoopRow {
  return row;
}
