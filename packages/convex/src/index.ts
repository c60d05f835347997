/** What apps import; each primitive is also a subpath of its own. */
export * from "./client/pool.js";
