import { parseSync, visitorKeys } from "oxc-parser";
import type { TextFile } from "./rule.ts";

/** A node of the syntax tree (ESTree), as loosely as the rules need it. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface Place {
  readonly node: Node;
  readonly parent: Node | undefined;
  /** The field of the parent that holds the node. */
  readonly field: string;
  /** Counted from 1. */
  readonly line: number;
}

const parsed = new WeakMap<TextFile, readonly Place[]>();

/** Every node of the file, in source order. */
export function placesOf(file: TextFile): readonly Place[] {
  const known = parsed.get(file);
  if (known) return known;
  const { program, errors } = parseSync(file.path, file.text);
  if (errors.length > 0) throw new Error(`${file.path} does not parse: ${errors[0]?.message}`);
  const places: Place[] = [];
  const visit = (node: Node, parent: Node | undefined, field: string): void => {
    places.push({ node, parent, field, line: lineAt(file.text, node.start) });
    for (const key of visitorKeys[node.type] ?? []) {
      const children = Array.isArray(node[key]) ? node[key] : [node[key]];
      for (const child of children) if (isNode(child)) visit(child, node, key);
    }
  };
  visit(program as unknown as Node, undefined, "");
  parsed.set(file, places);
  return places;
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value;
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

export function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === "Identifier" ? (node["name"] as string) : undefined;
}

/** `a.b` of a plain member expression, else undefined. */
export function memberOf(node: Node): string | undefined {
  if (node.type !== "MemberExpression" || node["computed"] === true) return undefined;
  const object = nameOf(node["object"]);
  const property = nameOf(node["property"]);
  return object !== undefined && property !== undefined ? `${object}.${property}` : undefined;
}

export interface ImportOf {
  readonly from: string;
  readonly names: readonly string[];
  readonly line: number;
}

/** Every import and re-export, static or dynamic, of types too. */
export function importsOf(file: TextFile): readonly ImportOf[] {
  const imports: ImportOf[] = [];
  for (const { node, line } of placesOf(file)) {
    const from = isNode(node["source"]) ? node["source"]["value"] : undefined;
    if (typeof from !== "string") continue;
    const specifiers = (node["specifiers"] as readonly Node[] | undefined) ?? [];
    const names = specifiers.map((one) => nameOf(one["imported"]) ?? "*");
    imports.push({ from, names, line });
  }
  return imports;
}

/** Whether the identifier is a use of that name, and not the name of a property or a type. */
export function isReference(place: Place): boolean {
  const { parent, field } = place;
  if (!parent) return true;
  if (parent.type.startsWith("TS")) return false;
  if (parent.type === "MemberExpression" && field === "property") {
    return parent["computed"] === true;
  }
  return field !== "key" || parent["computed"] === true || parent["shorthand"] === true;
}
