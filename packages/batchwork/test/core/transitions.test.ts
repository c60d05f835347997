import { describe, expect, test } from "vitest";

import {
  transition,
  TRANSITIONS,
  type BatchEvent,
  type BatchState,
} from "../../src/core/transitions.ts";

const STATES: BatchState[] = ["ready", "leased", "done"];
const EVENTS: BatchEvent[] = ["seal", "claim", "finish", "retry", "release", "crash"];

/** All edges there are, written out. */
const EDGES = [
  "nothing -seal-> leased",
  "ready -claim-> leased",
  "ready -finish-> done",
  "leased -finish-> done",
  "leased -retry-> ready",
  "leased -release-> ready",
  "leased -crash-> ready",
];

describe("a batch", () => {
  test("moves along these edges and no others", () => {
    const edges: string[] = [];
    for (const from of [null, ...STATES]) {
      for (const event of EVENTS) {
        const to = transition(from, event);
        if (to !== null) edges.push(`${from ?? "nothing"} -${event}-> ${to}`);
      }
    }
    expect(edges).toEqual(EDGES);
  });

  test("has its edges in the table", () => {
    const edges = STATES.flatMap((from) =>
      Object.entries(TRANSITIONS[from]).map(([event, to]) => `${from} -${event}-> ${to}`),
    );
    expect(edges.toSorted()).toEqual(EDGES.slice(1).toSorted());
  });

  test("that is done stays so", () => {
    expect(EVENTS.map((event) => transition("done", event))).toEqual(EVENTS.map(() => null));
  });

  test("reaches its end from every state", () => {
    for (const state of ["ready", "leased"] as const) {
      expect(transition(state, "finish")).toBe("done");
    }
  });
});
