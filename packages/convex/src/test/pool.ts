/// <reference types="vite/client" />
/** Registers the component with `convex-test`. Raw TypeScript: it runs under Vite only. */
import type { TestConvex } from "convex-test";
import type { GenericSchema, SchemaDefinition } from "convex/server";
import schema from "../pool/schema.js";

const modules = import.meta.glob("../pool/**/*.ts");

/** `name` is that of `app.use(component, { name })`; default "pool". */
export function register(
  t: TestConvex<SchemaDefinition<GenericSchema, boolean>>,
  name = "pool",
): void {
  t.registerComponent(name, schema, modules);
}
