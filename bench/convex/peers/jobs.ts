export { act, ended, write } from "../jobs.ts";
