/** Connections of a pool: taking one so that its breaking is no surprise, and giving it back. */
import type { PostgresPool, PostgresPoolClient } from "./client.ts";

/**
 * Takes a connection that ends the process by no event. One that breaks between two statements is
 * found broken by the next.
 */
export async function borrow(pool: PostgresPool): Promise<PostgresPoolClient> {
  return new Promise((resolve, reject) => {
    const taken = (error: unknown, client: PostgresPoolClient | undefined): void => {
      if (client === undefined) {
        reject(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      // Before anybody waits for a promise: the server's last word may be in the same packet as
      // the one that made the connection ready.
      client.on?.("error", ignore);
      resolve(client);
    };
    // A pool of pg calls back and returns nothing; any other returns a promise.
    const promised = pool.connect(taken) as Promise<PostgresPoolClient> | undefined;
    promised?.then((client) => taken(undefined, client), reject);
  });
}

/** Gives it back; a broken one is closed. */
export function giveBack(client: PostgresPoolClient, broken: Error | boolean | undefined): void {
  client.release(broken);
  client.off?.("error", ignore);
}

function ignore(): void {
  // Whoever uses the connection is told by what it asks of it.
}
