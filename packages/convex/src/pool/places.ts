/** Which items of its chunk a work row stands for. */
import type { Doc } from "./_generated/dataModel.js";

/** All places of a row that are not settled yet. */
export function placesOf(row: Doc<"work">): number[] {
  const places = row.places ?? Array.from({ length: row.count }, (_, place) => place);
  return places.filter((place) => row.done?.includes(place) !== true);
}
