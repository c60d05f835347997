/** A schema that makes something else of what it is given. */
import type { StandardSchema } from "../../../src/index.ts";

/** A number that is stored as text. */
export const storedNumber: StandardSchema<string, number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      const number = Number(value);
      return Number.isNaN(number) ? { issues: [{ message: "not a number" }] } : { value: number };
    },
  },
};
