/** Stands for the services that the snippets call: notes what reached them. */
export const sent: unknown[] = [];
