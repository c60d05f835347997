/** Prints what a campaign found. */

const WIDTH = 34;

/** One figure a line; of many figures together the middle one and the largest. */
export function printFigures(figures: object): void {
  for (const [name, value] of Object.entries(figures) as [string, unknown][]) {
    if (Array.isArray(value)) printSpread(name, value as readonly number[]);
    else if (typeof value === "object" && value !== null) printFigures(value);
    else print(name, typeof value === "number" ? rounded(value) : String(value));
  }
}

function printSpread(name: string, ascending: readonly number[]): void {
  if (ascending.length === 0) return;
  const middle = ascending[Math.floor(ascending.length / 2)] as number;
  print(`${name}, median ms`, rounded(middle));
  print(`${name}, longest ms`, rounded(ascending.at(-1) as number));
}

function rounded(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function print(name: string, value: string): void {
  console.log(`${name.padEnd(WIDTH)} ${value}`);
}
