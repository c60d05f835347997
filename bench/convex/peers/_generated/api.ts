import { componentsGeneric } from "convex/server";

export const components = componentsGeneric();
