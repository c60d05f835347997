import type { NewChunk } from "../../packages/batchwork/src/storage/storage.ts";
import { decorate } from "./decorate.ts";
import type { Mutant } from "./mutant.ts";

function unlimited<C extends Pick<NewChunk, "limit">>({ limit: _, ...chunk }: C): Omit<C, "limit"> {
  return chunk;
}

export const pendingIgnored: Mutant = {
  name: "maxPending ignored",
  about: "appends are stored however much is pending",
  foundBy: ["maxPending: never more"],
  begin: () => ({
    storage: (inner) =>
      decorate(inner, {
        append: (chunks) => inner.append(chunks.map(unlimited)),
        appendKeyed: ({ chunks, items }) =>
          inner.appendKeyed({ chunks: chunks.map(unlimited), items }),
      }),
  }),
};
