/**
 * The batch against a model that predicts every delivery: when, which attempt, and which items. The
 * model shares no code with the engine.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { Batch } from "../../src/runtime/accumulator.ts";
import { Fixture, STORAGES, type Process, type StorageKind, ascending } from "./fixture.ts";

const MAX_SIZE = 4;
const MAX_WAIT_MS = 1000;
const RETRIES = 2;
const BASE_DELAY_MS = 700;
const GROUPS = ["", "a", "b"];

interface Item {
  readonly n: number;
  readonly group: string;
  /** Its first so many attempts fail. */
  readonly fails: number;
}

type Command =
  | { readonly kind: "add" | "bulk"; readonly items: readonly Omit<Item, "n">[] }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "flush"; readonly group: string | undefined }
  | { readonly kind: "pause" | "resume" | "restart" | "crash" };

interface Expected {
  readonly at: number;
  readonly attempt: number;
  readonly items: readonly number[];
}

/** What a batch does when handlers take no time. */
class Model {
  readonly delivered: Expected[] = [];
  readonly dead: number[] = [];
  paused = false;
  #now = 0;
  readonly #waiting = new Map<string, { item: Item; dueAt: number }[]>();
  #retrying: { at: number; attempt: number; items: Item[] }[] = [];

  add(items: readonly Item[]): void {
    for (const item of items) {
      const group = this.#waiting.get(item.group) ?? [];
      this.#waiting.set(item.group, [...group, { item, dueAt: this.#now + MAX_WAIT_MS }]);
    }
    this.#run();
  }

  flush(group: string | undefined): void {
    for (const [name, waiting] of this.#waiting) {
      if (group !== undefined && name !== group) continue;
      if (!this.paused) for (const one of waiting) one.dueAt = this.#now;
    }
    this.#run();
  }

  setPaused(paused: boolean): void {
    this.paused = paused;
    this.#run();
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const dues = [...this.#waiting.values()].flat().map(({ dueAt }) => dueAt);
      const next = Math.min(...dues, ...this.#retrying.map(({ at }) => at));
      if (this.paused || next > end) break;
      this.#now = Math.max(this.#now, next);
      this.#run();
    }
    this.#now = end;
  }

  #run(): void {
    if (this.paused) return;
    const due = this.#retrying.filter(({ at }) => at <= this.#now);
    this.#retrying = this.#retrying.filter(({ at }) => at > this.#now);
    for (const { attempt, items } of due) this.#deliver(attempt, items);
    for (const waiting of this.#waiting.values()) {
      while (waiting.length >= MAX_SIZE || (waiting[0] && waiting[0].dueAt <= this.#now)) {
        const batch = waiting.splice(0, MAX_SIZE);
        this.#deliver(
          1,
          batch.map(({ item }) => item),
        );
      }
    }
  }

  #deliver(attempt: number, items: readonly Item[]): void {
    this.delivered.push({ at: this.#now, attempt, items: items.map(({ n }) => n) });
    const failed = items.filter(({ fails }) => fails >= attempt);
    if (failed.length === 0) return;
    if (attempt > RETRIES) this.dead.push(...failed.map(({ n }) => n));
    else {
      const at = this.#now + BASE_DELAY_MS * 2 ** (attempt - 1);
      this.#retrying.push({ at, attempt: attempt + 1, items: failed });
    }
  }
}

/** The engine, and everything its handler was given. */
class Subject {
  readonly f: Fixture;
  readonly delivered: Expected[] = [];
  /** Deliveries of an id with other content than before, or of items of another group. */
  readonly wrong: string[] = [];
  readonly #contents = new Map<string, string>();
  process!: Process;
  batch!: Batch<Item>;

  constructor(kind: StorageKind) {
    this.f = new Fixture(kind);
  }

  async start(): Promise<void> {
    const { process, batch } = await this.f.started((bw) =>
      bw.batch<Item>({
        name: "events",
        maxSize: MAX_SIZE,
        maxWaitMs: MAX_WAIT_MS,
        groupBy: ({ group }) => group,
        retries: { max: RETRIES, baseDelay: BASE_DELAY_MS },
        handler: (ctx) => {
          const content = JSON.stringify([ctx.itemIds, ctx.batch]);
          if ((this.#contents.get(ctx.id) ?? content) !== content) this.wrong.push(content);
          this.#contents.set(ctx.id, content);
          const { attempt } = ctx;
          const items = ctx.batch.map(({ n }) => n);
          this.delivered.push({ at: this.f.clock.monotonicMs(), attempt, items });
          for (const [index, { group, fails }] of ctx.batch.entries()) {
            if (group !== ctx.groupKey) this.wrong.push(content);
            if (fails >= attempt) ctx.fail(index, new Error("not yet"));
          }
        },
      }),
    );
    this.process = process;
    this.batch = batch;
  }

  async stop(): Promise<void> {
    await this.f.runFor(0, this.process.bw.stop());
  }
}

const loose = fc.record({
  group: fc.constantFrom(...GROUPS),
  fails: fc.constantFrom(0, 0, 0, 1, 2, 3),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      items: fc.array(loose, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("bulk" as const),
      items: fc.array(loose, { maxLength: 20 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(1500) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("flush" as const),
      group: fc.option(fc.constantFrom(...GROUPS), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "pause" as const,
        "resume" as const,
        "restart" as const,
        "crash" as const,
      ),
    }),
  },
);

async function play(
  subject: Subject,
  model: Model,
  step: Command,
  next: () => number,
): Promise<void> {
  const { f } = subject;
  switch (step.kind) {
    case "add":
    case "bulk": {
      const items = step.items.map((item) => ({ n: next(), ...item }));
      const { batch } = subject;
      const adding =
        step.kind === "bulk" ? [batch.addBulk(items)] : items.map((item) => batch.add(item));
      await f.run(Promise.all<unknown>(adding));
      await f.advance(0);
      model.add(items);
      return;
    }
    case "advance":
      await f.advance(step.ms);
      model.advance(step.ms);
      return;
    case "flush":
      // A paused batch with something waiting rejects; the model then flushes nothing.
      await f.run(subject.batch.flush(step.group).catch(() => undefined));
      await f.advance(0);
      model.flush(step.group);
      return;
    case "pause":
    case "resume":
      await f.run(subject.batch[step.kind]());
      await f.advance(0);
      model.setPaused(step.kind === "pause");
      return;
    case "restart":
    case "crash":
      // A new process learns of what waits from before when it is due: until then it may look later.
      if (model.paused) return;
      if (step.kind === "restart") await subject.stop();
      else subject.process.kill();
      await subject.start();
      await f.advance(MAX_WAIT_MS);
      model.advance(MAX_WAIT_MS);
  }
}

/** Deliveries of one moment may come in any order, except first attempts of one group. */
function sorted(deliveries: readonly Expected[]): string[] {
  return deliveries
    .map(({ at, attempt, items }) => `${at} #${attempt} ${items.join(",")}`)
    .toSorted(ascending);
}

describe.each(STORAGES)("any history on %s storage", (kind) => {
  test("every delivery is the one that the model predicts, and every item is done or dead", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (steps) => {
        const subject = new Subject(kind);
        const model = new Model();
        let n = 0;
        const next = (): number => n++;
        await subject.start();
        for (const step of steps) await play(subject, model, step, next);
        for (const step of [{ kind: "resume" }, { kind: "advance", ms: 10_000 }] as const) {
          await play(subject, model, step, next);
        }
        expect(sorted(subject.delivered)).toEqual(sorted(model.delivered));
        const status = await subject.f.run(subject.batch.status());
        expect(status).toMatchObject({
          waiting: 0,
          retrying: 0,
          leased: 0,
          dead: model.dead.length,
        });
        const letters = await subject.f.run(subject.batch.deadLetters.list({ limit: 1000 }));
        const dead = letters.map(({ item }) => item.n);
        expect(dead.toSorted((a, b) => a - b)).toEqual(model.dead.toSorted((a, b) => a - b));
        const first = subject.delivered.filter(({ attempt }) => attempt === 1);
        expect(first.flatMap((delivery) => delivery.items)).toHaveLength(n);
        expect(subject.wrong).toEqual([]);
        await subject.stop();
      }),
      { numRuns: kind === "memory" ? 100 : 40 },
    );
  }, 120_000);
});
