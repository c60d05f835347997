/** Idempotency keys: what is stored once. */
import assert from "node:assert/strict";

import { itemIds } from "../../core/members.ts";
import { contents, items, numbers, rejectsWith, sorted, type Cases } from "./fixture.ts";
import {
  addCalls,
  addKeyed,
  heldFor,
  idsOf,
  isHeld,
  keyedAppend,
  TTL_MS,
} from "./keyed-fixture.ts";

export const keyCases: Cases = {
  "a new key stores its item, and the answer is the item's id": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const ids = await addKeyed(t, queue, [
      ["a", 1],
      ["b", 2],
    ]);
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), [1, 2]);
    assert.deepEqual(ids, itemIds(batch.members));
  },

  "the answer tells the storage time, and items are due so long after it": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await t.pass(5000);
    const { now } = await worker.exchange(queue);
    const [answer] = await addCalls(t, queue, [[["a", 1]]], { dueInMs: 250 });
    assert.deepEqual(answer?.kind === "stored" ? answer.at : null, now);
    assert.equal((await worker.exchange(queue)).nextAt, now + 250);
    await t.pass(250);
    assert.deepEqual(contents(await worker.claim(queue)), [[1]]);
  },

  "a repeat stores nothing, and answers with the id of the first": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const [id] = await addKeyed(t, queue, [["a", 1]]);
    assert.deepEqual(await addKeyed(t, queue, [["a", 1]]), [`=${id}`]);
    assert.equal((await t.storage.counts(queue, null)).waiting, 1);
    assert.deepEqual(contents(await worker.claim(queue)), [[1]]);
  },

  "other content under a held key is refused, with all of its call": async (t) => {
    const queue = await t.queue();
    await addKeyed(t, queue, [["a", 1]]);
    const call = [
      ["new", 2],
      ["a", "other"],
      [null, 3],
    ] as const;
    assert.deepEqual(await addCalls(t, queue, [call]), [{ kind: "conflict", key: "a" }]);
    assert.equal((await t.storage.counts(queue, null)).waiting, 1);
    assert.ok(!(await isHeld(t, queue, "new")), "its other keys are not taken");
  },

  "calls are carried out one by one: a refused one leaves the others alone": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const held = await addKeyed(t, queue, [
      ["x", "x"],
      ["y", "y"],
    ]);
    const [first, refused, third] = await addCalls(t, queue, [
      [["a", 1]],
      [
        ["b", 2],
        ["x", "other"],
      ],
      [
        ["y", "y"],
        ["c", 3],
        [null, 4],
      ],
    ]);
    assert.deepEqual(refused, { kind: "conflict", key: "x" });
    const batch = await worker.claimOne(queue);
    assert.deepEqual(items(batch), ["x", "y", 1, 3, 4]);
    const [a, c, unkeyed] = itemIds(batch.members).slice(2);
    assert.deepEqual(idsOf(first), [a]);
    assert.deepEqual(idsOf(third), [`=${held[1]}`, c, unkeyed]);
  },

  "items without a key are stored each time": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const call = [
      [null, "n"],
      ["a", "k"],
      [null, "n"],
    ] as const;
    const first = await addKeyed(t, queue, call);
    const second = await addKeyed(t, queue, call);
    assert.equal(second[1], `=${first[1]}`);
    assert.deepEqual(items(await worker.claimOne(queue)), ["n", "k", "n", "n", "n"]);
  },

  "chunks of which nothing is stored are not appended; ids ascend": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    await addKeyed(t, queue, [["a", 1]], { group: "a" });
    const header = { queue, dueInMs: 0, keyTtlMs: TTL_MS };
    const { items: one } = keyedAppend(queue, [[["a", 1]]], {}, t.storage.payload);
    const { items: two } = keyedAppend(queue, [[], [["b", 2]]], {}, t.storage.payload);
    const { items: three } = keyedAppend(queue, [[], [], [["c", 3]]], {}, t.storage.payload);
    const answers = await t.storage.appendKeyed({
      chunks: ["a", "b", "c"].map((group) => ({ ...header, group })),
      items: [one, two, three].flatMap((call, chunk) => call.map((item) => ({ ...item, chunk }))),
    });
    const [, b, c] = answers.map((answer) => Number(idsOf(answer)[0]?.replaceAll(/^=|:.*$/g, "")));
    assert.ok((b as number) < (c as number), "ids ascend in the order given");
    const claimed = await worker.claim(queue);
    const groups = claimed.map(({ group, count }) => `${group}${count}`);
    assert.deepEqual(sorted(groups), ["a1", "b1", "c1"]);
  },

  "a key belongs to one queue": async (t) => {
    const queue = await t.queue();
    const other = await t.queue("other");
    await addKeyed(t, queue, [["a", 1]]);
    assert.ok(!(await isHeld(t, other, "a")));
    const [id] = await addKeyed(t, other, [["a", "of another kind"]]);
    assert.ok(!id?.startsWith("="));
  },

  "any text is a key, and no two are one": async (t) => {
    const queue = await t.queue();
    const keys = ["a", "A", " a", "a ", "ä", "a\u0308", "'; --", "\\", "{}", "%", "\u{1F600}"];
    const long = "x".repeat(511);
    for (const key of [...keys, `${long}y`, `${long}z`]) {
      const [id] = await addKeyed(t, queue, [[key, key]]);
      assert.ok(!id?.startsWith("="), `${key} is new`);
      assert.deepEqual(await addKeyed(t, queue, [[key, key]]), [`=${id}`]);
    }
  },

  "it outlives the object that stored it, and counts for all others": async (t) => {
    const queue = await t.queue();
    const second = await t.second();
    const [id] = await addKeyed(t, queue, [["a", 1]]);
    await t.storage.close();
    const [repeat, other] = await addCalls(t, queue, [[["a", 1]], [["b", 2]]], {}, second);
    assert.deepEqual(idsOf(repeat), [`=${id}`]);
    assert.ok(!idsOf(other)[0]?.startsWith("="));
  },

  "of many who add the same keys at once, one wins each": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const storages = [t.storage, await t.second(), await t.second()];
    const keys = numbers(30).map((n) => `key ${n}`);
    const found = new Map<string, Set<string>>();
    let stored = 0;
    const adding = storages.flatMap((storage, s) =>
      numbers(4).map(async (round) => {
        // Each in another order.
        const turn = (s * 11 + round * 7) % keys.length;
        const call = [...keys.slice(turn), ...keys.slice(0, turn)].map(
          (key) => [key, key] as const,
        );
        let answer = (await addCalls(t, queue, [call], {}, storage))[0];
        while (answer?.kind === "busy") {
          [answer] = await addCalls(t, queue, [call], {}, storage);
        }
        for (const [n, id] of idsOf(answer).entries()) {
          const [key] = call[n] as (typeof call)[number];
          if (!id.startsWith("=")) stored++;
          found.set(key, (found.get(key) ?? new Set()).add(id.replace("=", "")));
        }
      }),
    );
    await Promise.all(adding);
    assert.equal(stored, keys.length, "each key stored one item");
    assert.ok(
      [...found.values()].every(({ size }) => size === 1),
      "and everybody was told its id",
    );
    const claimed = await worker.claim(queue);
    assert.deepEqual(sorted(claimed.flatMap((batch) => items(batch) as string[])), sorted(keys));
  },

  "many at once, over several groups": async (t) => {
    const queue = await t.queue();
    const worker = await t.worker();
    const groups = ["a", "b", "c"];
    const call = numbers(600);
    const chunks = groups.map((group) => ({ queue, group, dueInMs: 0, keyTtlMs: TTL_MS }));
    const request = {
      chunks,
      items: call.map((n) => ({
        ...keyedAppend(queue, [[[`key ${n}`, n]]], {}, t.storage.payload).items[0],
        call: n % 7,
        chunk: n % 3,
      })),
    } as ReturnType<typeof keyedAppend>;
    const inOrder = { ...request, items: request.items.toSorted((a, b) => a.call - b.call) };
    for (const answer of await t.storage.appendKeyed(inOrder)) idsOf(answer);
    const repeats = (await t.storage.appendKeyed(inOrder)).flatMap(idsOf);
    assert.ok(repeats.every((id) => id.startsWith("=")));
    const claimed = await worker.claim(queue, { maxSize: 1000 });
    const found = claimed.flatMap((batch) => items(batch) as number[]);
    assert.deepEqual(
      found.toSorted((a, b) => a - b),
      call,
    );
    await worker.done(claimed);
    await heldFor(t, queue, "key 599", TTL_MS);
  },

  "a queue that is not there takes none": async (t) => {
    await t.queue();
    await rejectsWith(addCalls(t, 99, [[["a", 1]]]), "STORAGE_FAILED");
  },
};
