/** Runs a program of the repository the way a reader would, for the tests that read what it prints. */
import { spawn } from "node:child_process";

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs Node, the one that runs the tests, with these arguments in this folder. */
export async function runNode(args: readonly string[], cwd: string): Promise<Ended> {
  const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  const code = await promise;
  return { code, stdout, stderr };
}

/** Runs a TypeScript program on the sources of the engine. Fails when it fails or complains. */
export async function runProgram(
  path: string,
  args: readonly string[],
  cwd: string,
): Promise<string> {
  const options = ["--conditions=batchwork-source", path, ...args];
  const { code, stdout, stderr } = await runNode(options, cwd);
  if (code === 0 && stderr === "") return stdout;
  throw new Error(`${path} ended with ${code}:\n${stdout}\n${stderr}`);
}
