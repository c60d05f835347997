/** Starts one PostgreSQL server for a run that has tests for it, and stops it afterwards. */
import pg from "pg";
import type { TestProject } from "vitest/node";

import { startServer } from "./server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the server of this run is, or why there is none. */
    readonly postgres:
      { readonly url: string; readonly template: string } | { readonly missing: string };
  }
}

/** Files that need the server have this in their path. */
const NEEDED = /(?:postgres|runtime\/(?:pools|features)|seed-00[23]).*\.test\.ts$/;

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { filenamePattern } = project.vitest as { readonly filenamePattern?: string[] };
  const { testFiles } = await project.globTestFiles(filenamePattern);
  if (!testFiles.some((file) => NEEDED.test(file))) return undefined;
  try {
    const server = await startServer(process.env);
    const template = `batchwork_template_${process.pid}`;
    project.provide("postgres", { url: server.url, template });
    return async () => {
      await dropDatabase(server.url, template);
      await server.stop();
    };
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    project.provide("postgres", { missing });
    process.stderr.write(`\nPOSTGRESQL IS NOT TESTED: there is no server (${missing}).\n\n`);
    return undefined;
  }
}

/** A server that was there before the run is left as it was. */
async function dropDatabase(url: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`DROP DATABASE IF EXISTS ${name}`);
  await client.end();
}
