/**
 * Answers the two requests that `convex codegen` makes of a deployment, on the loopback, by
 * evaluating what the CLI pushed. So code is generated without an account or a network.
 */
import { Buffer } from "node:buffer";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import type { AddressInfo } from "node:net";

interface Bundle {
  readonly path: string;
  readonly source: string;
}

interface Pushed {
  readonly definitionPath?: string;
  readonly definition?: { readonly source: string } | null;
  readonly schema?: { readonly source: string } | null;
  readonly functions?: readonly Bundle[];
  readonly changedModules?: readonly Bundle[];
}

interface Push {
  readonly appDefinition: Pushed;
  readonly componentDefinitions: readonly (Pushed & { readonly definitionPath: string })[];
}

interface Definition {
  readonly name?: string;
  readonly [field: string]: unknown;
}

type Registered = Readonly<Record<"isQuery" | "isMutation" | "isAction" | "isPublic", boolean>> & {
  exportArgs(): string;
  exportReturns(): string;
};

interface Branch {
  [name: string]: Branch | string;
}

const NO_ROUTES = { httpRoutes: null, cronSpecs: null, sourceMapped: null };

class Evaluator {
  readonly #root = mkdtempSync(path.join(tmpdir(), "batchwork-codegen-"));
  /** Default names of the pushed components, by their path: one may install another. */
  readonly #names = new Map<string, string>();
  #count = 0;

  constructor() {
    writeFileSync(path.join(this.#root, "package.json"), '{"type":"module"}');
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }

  async analyze(push: Push): Promise<Record<string, unknown>> {
    for (const one of push.componentDefinitions) {
      const name = (await this.#definition(one)).name;
      if (name !== undefined) this.#names.set(one.definitionPath, name);
    }
    const analysis: Record<string, unknown> = {};
    for (const one of push.componentDefinitions) {
      analysis[one.definitionPath] = await this.#evaluate(one, one.functions ?? []);
    }
    analysis[""] = await this.#evaluate(
      push.appDefinition,
      push.appDefinition.changedModules ?? [],
    );
    return analysis;
  }

  async #evaluate(pushed: Pushed, bundles: readonly Bundle[]): Promise<unknown> {
    const folder = this.#folder(bundles);
    const functions: Record<string, unknown> = {};
    const exported: Branch = {};
    for (const { path: file } of bundles.filter((one) => !one.path.startsWith("_deps/"))) {
      const module = (await load(path.join(folder, file))) as Record<string, Partial<Registered>>;
      const found = Object.entries(module).flatMap(([name, value]) => describe(name, value));
      functions[file] = { functions: found, ...NO_ROUTES };
      for (const one of found.filter(({ visibility }) => visibility.kind === "public")) {
        place(exported, file.replace(/\.js$/v, ""), one.name);
      }
    }
    const isComponent = pushed.definitionPath !== undefined;
    return {
      definition: {
        ...(await this.#definition(pushed)),
        path: pushed.definitionPath ?? "",
        exports: isComponent ? branchOf(exported) : branchOf({}),
      },
      schema: pushed.schema ? await this.#schema(pushed.schema.source) : null,
      functions,
      udfConfig: {
        serverVersion: "1.48.0",
        importPhaseRngSeed: null,
        importPhaseUnixTimestamp: null,
      },
    };
  }

  async #definition(pushed: Pushed): Promise<Definition> {
    if (!pushed.definition) {
      const exports = branchOf({});
      return { definitionType: { type: "app" }, childComponents: [], httpMounts: {}, exports };
    }
    const { source } = pushed.definition;
    const deps = [...source.matchAll(/_componentDeps\/(?<id>[\w+=\-]+)/gv)].map((match) => {
      const id = match.groups?.["id"] ?? "";
      const at = Buffer.from(id, "base64").toString();
      const dep = { componentDefinitionPath: at, defaultName: this.#names.get(at) ?? "component" };
      const text = `export default ${JSON.stringify(dep)};`;
      return { path: `_componentDeps/${id}.js`, source: text };
    });
    const text = source.replaceAll(/(?<=_componentDeps\/[\w+=\-]+)(?=")/gv, ".js");
    const folder = this.#folder([...deps, { path: "definition.js", source: text }]);
    const module = (await load(path.join(folder, "definition.js"))) as {
      default: { export(): Definition };
    };
    return { ...module.default.export() };
  }

  async #schema(source: string): Promise<unknown> {
    const folder = this.#folder([{ path: "schema.js", source }]);
    const module = (await load(path.join(folder, "schema.js"))) as {
      default: { export(): string };
    };
    return JSON.parse(module.default.export());
  }

  #folder(bundles: readonly Bundle[]): string {
    const folder = path.join(this.#root, String(this.#count++));
    mkdirSync(folder);
    for (const bundle of bundles) {
      const file = path.join(folder, bundle.path);
      mkdirSync(path.dirname(file), { recursive: true });
      // Without its map: the file it names was not pushed.
      writeFileSync(file, bundle.source.replaceAll(/^\/\/# sourceMappingURL=.*$/gmv, ""));
    }
    return folder;
  }
}

function load(file: string): Promise<unknown> {
  return import(pathToFileURL(file).href);
}

interface Described {
  readonly name: string;
  readonly pos: null;
  readonly udfType: string;
  readonly visibility: { readonly kind: string };
  readonly args: string;
  readonly returns: string;
}

function describe(name: string, value: Partial<Registered>): Described[] {
  const kinds = { Query: value.isQuery, Mutation: value.isMutation, Action: value.isAction };
  const udfType = Object.entries(kinds).find(([, is]) => is === true)?.[0];
  if (udfType === undefined) return [];
  const registered = value as Registered;
  const visibility = { kind: registered.isPublic ? "public" : "internal" };
  const args = registered.exportArgs();
  return [{ name, pos: null, udfType, visibility, args, returns: registered.exportReturns() }];
}

function place(root: Branch, file: string, name: string): void {
  let branch = root;
  for (const part of file.split("/")) branch = (branch[part] ??= {}) as Branch;
  branch[name] = `${file}:${name}`;
}

function branchOf(branch: Branch): unknown {
  const entries = Object.entries(branch).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    type: "branch",
    branch: entries.map(([name, below]) => [
      name,
      typeof below === "string"
        ? { type: "leaf", leaf: `_reference/function/${below}` }
        : branchOf(below),
    ]),
  };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = Buffer.concat(parts);
  const text = request.headers["content-encoding"] === "br" ? brotliDecompressSync(body) : body;
  return JSON.parse(text.toString());
}

async function answer(request: IncomingMessage, evaluator: Evaluator): Promise<unknown> {
  if (request.url?.includes("get_config_hashes")) {
    const config = { functions: "convex/" };
    return { config, moduleHashes: [], nodeDependencies: [], udfServerVersion: "1.48.0" };
  }
  if (request.url?.includes("start_push")) {
    const app = { definitionPath: "", componentPath: "", args: {}, childComponents: {} };
    const routes = { httpRoutes: { httpModuleRoutes: null, mounts: [] }, exports: {} };
    return {
      environmentVariables: {},
      externalDepsId: null,
      componentDefinitionPackages: {},
      appAuth: [],
      analysis: await evaluator.analyze((await bodyOf(request)) as Push),
      app: { ...app, ...routes },
      schemaChange: { allocatedComponentIds: {}, schemaIds: {} },
    };
  }
  throw new Error(`no answer to ${request.url}`);
}

/** Serves until `close`; the CLI is pointed at `url`. */
export async function serveCodegen(): Promise<{ url: string; close: () => void }> {
  const evaluator = new Evaluator();
  const server = createServer((request, response) => {
    void answer(request, evaluator).then(
      (value) => response.setHeader("content-type", "application/json").end(JSON.stringify(value)),
      (error: unknown) => {
        console.error(error);
        response.statusCode = 400;
        response.end(JSON.stringify({ code: "Evaluation", message: String(error) }));
      },
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.close();
    evaluator.remove();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}
