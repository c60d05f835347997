/// <reference types="vite/client" />
/** Registers the component with `convex-test`. Raw TypeScript: it runs under Vite only. */
import type { TestConvex } from "convex-test";
import type { GenericSchema, SchemaDefinition } from "convex/server";
import schema from "../batch/schema.js";

const modules = import.meta.glob("../batch/**/*.ts");

/** `name` is that of `app.use(component, { name })`; default "batch". */
export function register(
  t: TestConvex<SchemaDefinition<GenericSchema, boolean>>,
  name = "batch",
): void {
  t.registerComponent(name, schema, modules);
}
