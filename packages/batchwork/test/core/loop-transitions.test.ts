/** The states of a loop, and where a step or an event takes it. */
import { describe, expect, test } from "vitest";

import { placeAfterControl, placeAfterStep, type LoopPlace } from "../../src/core/loop-step.ts";
import {
  hasEnded,
  LOOP_TRANSITIONS,
  loopTransition,
  type LoopEvent,
  type LoopStatus,
} from "../../src/core/loop-transitions.ts";

const NOW = 1000;
const STATUSES = Object.keys(LOOP_TRANSITIONS) as LoopStatus[];

function place(given: Partial<LoopPlace> = {}): LoopPlace {
  return { status: "active", runAt: 900, owned: true, kicked: false, ...given };
}

describe("the states of a loop", () => {
  test("done and cancelled are never left", () => {
    for (const status of ["done", "cancelled"] as const) {
      expect(LOOP_TRANSITIONS[status]).toEqual({});
      expect(hasEnded(status)).toBe(true);
    }
  });

  test("what has no edge may not happen", () => {
    expect(loopTransition("failed", "kick")).toBeNull();
    expect(loopTransition("idle", "resume")).toBeNull();
    expect(loopTransition("paused", "ping")).toBeNull();
    expect(loopTransition("failed", "resume")).toBe("active");
  });

  test("only an owner, of an active or a paused loop, writes steps", () => {
    const events: LoopEvent[] = ["advance", "rest", "finish", "fail"];
    for (const status of STATUSES) {
      const legal = events.filter((event) => loopTransition(status, event) !== null);
      expect(legal).toEqual(status === "active" || status === "paused" ? events : []);
    }
  });

  test("whatever has not ended can be cancelled", () => {
    for (const status of STATUSES) {
      const ended = status === "done" || status === "cancelled";
      expect(loopTransition(status, "cancel")).toBe(ended ? null : "cancelled");
    }
  });

  test("a loop that failed has ended, until somebody resumes it", () => {
    expect(STATUSES.filter(hasEnded)).toEqual(["failed", "done", "cancelled"]);
  });
});

describe("a step", () => {
  test("goes on at once without a change of its time, so that its row changes little", () => {
    const move = { to: "active", runInMs: 0, keep: true } as const;
    expect(placeAfterStep(place(), move, NOW)).toEqual(place());
    expect(placeAfterStep(place({ runAt: null }), move, NOW)).toEqual(place({ runAt: NOW }));
  });

  test("waits as long as it says, and belongs to nobody unless it keeps the loop", () => {
    const move = { to: "active", runInMs: 50, keep: false } as const;
    const after = placeAfterStep(place(), move, NOW);
    expect(after).toEqual(place({ runAt: 1050, owned: false }));
  });

  test("runs at once when it was kicked, and the kick is used up", () => {
    const move = { to: "active", runInMs: 5000, keep: false } as const;
    const after = placeAfterStep(place({ kicked: true }), move, NOW);
    expect(after).toEqual(place({ owned: false, kicked: false }));
    const rest = placeAfterStep(place({ kicked: true }), { to: "idle", wakeInMs: null }, NOW);
    expect(rest).toEqual(place({ runAt: NOW, owned: false, kicked: false }));
  });

  test("rests without a time, or with one, unless somebody pinged", () => {
    const [rest, nap] = [null, 70].map((wakeInMs) => {
      return placeAfterStep(place(), { to: "idle", wakeInMs }, NOW);
    });
    expect(rest).toEqual({ status: "idle", runAt: null, owned: false, kicked: false });
    expect(nap).toEqual({ status: "idle", runAt: 1070, owned: false, kicked: false });
    const pinged = placeAfterStep(place(), { to: "idle", wakeInMs: null }, NOW, true);
    expect(pinged).toEqual(place({ runAt: NOW, owned: false }));
  });

  test("of a paused loop leaves it paused, where it does not end it", () => {
    const paused = place({ status: "paused", runAt: null });
    const off = { status: "paused", runAt: null, owned: false, kicked: false };
    expect(placeAfterStep(paused, { to: "active", runInMs: 0, keep: true }, NOW)).toEqual(off);
    expect(placeAfterStep(paused, { to: "idle", wakeInMs: 5 }, NOW)).toEqual(off);
    expect(placeAfterStep(paused, { to: "done" }, NOW).status).toBe("done");
    expect(placeAfterStep(paused, { to: "failed" }, NOW).status).toBe("failed");
  });

  test("of a loop that has ended changes nothing but its owner", () => {
    const ended = place({ status: "cancelled", runAt: null });
    expect(placeAfterStep(ended, { to: "done" }, NOW).status).toBe("cancelled");
  });
});

describe("what a user asks of a loop", () => {
  test("has no effect where it has no edge", () => {
    expect(placeAfterControl(place({ status: "done" }), "resume", NOW)).toBeNull();
  });

  test("cancel takes the owner away, pause leaves it its step", () => {
    const off = { runAt: null, kicked: false };
    expect(placeAfterControl(place(), "cancel", NOW)).toEqual({
      status: "cancelled",
      owned: false,
      ...off,
    });
    expect(placeAfterControl(place(), "pause", NOW)).toEqual({
      status: "paused",
      owned: true,
      ...off,
    });
  });

  test("resume makes it due, and an owner that is still there goes on", () => {
    const paused = place({ status: "paused", runAt: null });
    expect(placeAfterControl(paused, "resume", NOW)).toEqual(place({ runAt: NOW }));
  });

  test("kick makes it due, or tells its owner", () => {
    const idle = place({ status: "idle", runAt: null, owned: false });
    expect(placeAfterControl(idle, "kick", NOW)).toEqual(place({ runAt: NOW, owned: false }));
    expect(placeAfterControl(place(), "kick", NOW)).toEqual(place({ runAt: NOW, kicked: true }));
  });
});
