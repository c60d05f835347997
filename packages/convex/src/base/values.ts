/** Values of the user's: any Convex value, and nothing that this code may look into. */
import { v, type VAny, type Value } from "convex/values";

export const vValue = v.any() as VAny<Value>;
